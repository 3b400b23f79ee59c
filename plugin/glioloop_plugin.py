"""The script that Orthanc's Python plugin runs (``PythonScript`` in orthanc.json)."""

import os
import site
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
_PACKAGES = "lib/python{}.{}/site-packages".format(*sys.version_info[:2])


def _find_packages() -> None:
    """Put the product and its environment on the path of the interpreter inside Orthanc."""
    interpreter = Path(os.environ.get("GLIOLOOP_INTERPRETER", _ROOT / ".venv" / "bin" / "python"))
    environment = interpreter.parent.parent
    if (environment / _PACKAGES).is_dir():
        site.addsitedir(str(environment / _PACKAGES))
    sys.path.insert(0, str(_ROOT))


_find_packages()

import orthanc  # noqa: E402 - only there inside Orthanc

from pipeline.audit import AuditTrail  # noqa: E402
from plugin.explorer import extend_orthanc_explorer  # noqa: E402
from plugin.node import Node  # noqa: E402
from plugin.routes.answers import record_commands  # noqa: E402
from plugin.routes.corrections import CorrectionRoutes  # noqa: E402
from plugin.routes.courses import CourseRoutes  # noqa: E402
from plugin.routes.deliveries import DeliveryRoutes  # noqa: E402
from plugin.routes.jobs import NodeRoutes  # noqa: E402
from plugin.routes.notifications import NotificationRoutes  # noqa: E402
from plugin.routes.pages import Pages  # noqa: E402
from plugin.routes.worklist import WorklistRoutes  # noqa: E402

_node = Node()
record_commands(lambda: AuditTrail(_node.database()), _node.settings.roles)
for _routes in (NodeRoutes, WorklistRoutes, CorrectionRoutes, CourseRoutes, DeliveryRoutes, NotificationRoutes, Pages):
    _routes(_node).register()
extend_orthanc_explorer()
orthanc.RegisterOnChangeCallback(_node.on_change)
