"""Every route of the node, in one table: method, path, and the handler that answers.

Plain data without Orthanc, so that tests can hold it against ``docs/openapi.json`` and ``docs/rest.md``.
"""

import re
from dataclasses import dataclass
from typing import Final

from pipeline.corrections.record import CASE_ID
from pipeline.jobs.editing import EDIT_ID
from pipeline.jobs.finetuning import RUN_ID
from pipeline.names import MRSequence
from pipeline.settings import Role

#: What a variable part of a path may be; anything else is no route, so Orthanc answers 404 itself.
PARAMETERS: Final[dict[str, str]] = {
    "study": r"[0-9a-fA-F.\-]{1,64}",
    "patient": r"[^/]{1,64}",
    "job": r"[0-9a-f]{32}",
    "case": CASE_ID,
    "edit": EDIT_ID,
    "run": RUN_ID,
    "fetch": r"fetch-[A-Za-z0-9_.\-]{1,120}",
    "name": r"[A-Za-z0-9_.\-]{1,64}",
    "version": r"[A-Za-z0-9_.\-]{1,64}",
    "sequence": "|".join(MRSequence),
    "which": "now|before",
}


@dataclass(frozen=True)
class Route:
    """One method of one path.

    Attributes
    ----------
    method
        ``GET`` or ``POST``.
    path
        With ``{parameters}``, which reach the handler as groups in this order.
    handler
        Name of the method that answers.
    needs
        Role of who may ask; None for readers where it is ``GET``, and operators where it is ``POST``.
    """

    method: str
    path: str
    handler: str
    needs: Role | None = None

    @property
    def role(self) -> Role:
        """Who may ask."""
        return self.needs or (Role.READER if self.method == "GET" else Role.OPERATOR)


#: Answered by :class:`plugin.routes.jobs.NodeRoutes`.
NODE_ROUTES: Final = (
    Route("GET", "/glioloop/studies/{study}", "study"),
    Route("POST", "/glioloop/studies/{study}/process", "process"),
    Route("GET", "/glioloop/jobs/{job}", "job"),
    Route("GET", "/glioloop/jobs/{job}/preview.png", "preview"),
    Route("GET", "/glioloop/jobs/{job}/log", "log"),
    Route("POST", "/glioloop/jobs/{job}/cancel", "cancel"),
    Route("POST", "/glioloop/jobs/{job}/retry", "retry"),
    Route("GET", "/glioloop/models", "models"),
    Route("POST", "/glioloop/models/{name}/{version}/promote", "promote", Role.ADMINISTRATOR),
    Route("POST", "/glioloop/models/rollback", "rollback", Role.ADMINISTRATOR),
    Route("GET", "/glioloop/check", "check"),
    Route("POST", "/glioloop/check", "ask_check"),
    Route("GET", "/glioloop/user", "user"),
    Route("GET", "/glioloop/health", "health"),
    Route("GET", "/glioloop/metrics", "metrics"),
)

#: Answered by :class:`plugin.routes.worklist.WorklistRoutes`.
WORKLIST_ROUTES: Final = (
    Route("GET", "/glioloop/jobs", "jobs"),
    Route("GET", "/glioloop/jobs/counts", "counts"),
    Route("GET", "/glioloop/jobs.csv", "table"),
    Route("POST", "/glioloop/jobs/retry", "retry"),
)

#: Answered by :class:`plugin.routes.corrections.CorrectionRoutes`.
CORRECTION_ROUTES: Final = (
    Route("POST", "/glioloop/studies/{study}/feedback", "look"),
    Route("POST", "/glioloop/jobs/{job}/accept", "accept"),
    Route("POST", "/glioloop/jobs/{job}/send-back", "send_back"),
    Route("POST", "/glioloop/jobs/{job}/edits", "edit"),
    Route("GET", "/glioloop/jobs/{job}/edits/{edit}", "edited"),
    Route("POST", "/glioloop/jobs/{job}/consensus", "consensus"),
    Route("GET", "/glioloop/feedback", "cases"),
    Route("GET", "/glioloop/feedback/agreement", "agreement"),
    Route("GET", "/glioloop/feedback/{case}", "case"),
    Route("GET", "/glioloop/feedback/{case}/contours", "contours"),
    Route("GET", "/glioloop/feedback/{case}/surfaces", "surfaces"),
    Route("GET", "/glioloop/feedback/{case}/export.zip", "export", Role.OPERATOR),
    Route("POST", "/glioloop/feedback/{case}/trust", "trust", Role.ADMINISTRATOR),
    Route("POST", "/glioloop/feedback/{case}/delete", "delete", Role.ADMINISTRATOR),
    Route("GET", "/glioloop/finetune", "runs"),
    Route("POST", "/glioloop/finetune", "start", Role.ADMINISTRATOR),
    Route("GET", "/glioloop/finetune/{run}", "run"),
    Route("POST", "/glioloop/finetune/{run}/now", "hasten", Role.ADMINISTRATOR),
    Route("POST", "/glioloop/finetune/{run}/cancel", "cancel", Role.ADMINISTRATOR),
)

#: Answered by :class:`plugin.routes.courses.CourseRoutes`.
COURSE_ROUTES: Final = (
    Route("GET", "/glioloop/patients/{patient}/course", "course"),
    Route("GET", "/glioloop/studies/{study}/beside", "beside"),
    Route("GET", "/glioloop/studies/{study}/beside/{which}.jpg", "beside_picture"),
)

#: Answered by :class:`plugin.routes.deliveries.DeliveryRoutes`.
DELIVERY_ROUTES: Final = (
    Route("GET", "/glioloop/destinations", "destinations"),
    Route("POST", "/glioloop/studies/{study}/explain", "explain", Role.READER),
    Route("GET", "/glioloop/jobs/{job}/deliveries", "deliveries"),
    Route("POST", "/glioloop/jobs/{job}/deliveries/{name}/retry", "retry"),
    Route("POST", "/glioloop/jobs/{job}/deliveries/{name}/cancel", "cancel"),
)

#: Answered by :class:`plugin.routes.notifications.NotificationRoutes`.
NOTIFICATION_ROUTES: Final = (
    Route("GET", "/glioloop/fetch", "fetches"),
    Route("POST", "/glioloop/fetch", "fetch"),
    Route("GET", "/glioloop/fetch/{fetch}", "fetched"),
    Route("GET", "/glioloop/notifications", "notifications"),
    Route("POST", "/glioloop/notifications/test", "test", Role.ADMINISTRATOR),
)

#: Answered by :class:`plugin.routes.pages.Pages`, beside the dashboard's own files.
PAGE_ROUTES: Final = (
    Route("GET", "/glioloop/openapi.json", "openapi"),
    Route("GET", "/glioloop/jobs/{job}/contours", "contours"),
    Route("GET", "/glioloop/jobs/{job}/slices/{sequence}.jpg", "slices"),
    Route("GET", "/glioloop/jobs/{job}/surfaces", "surfaces"),
)

ROUTES: Final = (
    *NODE_ROUTES, *WORKLIST_ROUTES, *CORRECTION_ROUTES, *COURSE_ROUTES, *DELIVERY_ROUTES, *NOTIFICATION_ROUTES,
    *PAGE_ROUTES,
)  # fmt: skip


def pattern_of(path: str) -> str:
    """Return the regular expression that Orthanc matches against a whole path, a group per parameter."""
    literal_or_name = re.split(r"\{(\w+)\}", path)
    return "".join(
        f"({PARAMETERS[part]})" if number % 2 else re.escape(part) for number, part in enumerate(literal_or_name)
    )
