"""Real Orthancs: their configuration, their processes, and the node in the foreground.

Names are imported when they are asked for: the command line imports this package for its commands, and
``--help`` should not wait for pydicom and httpx.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.node.configuration import (
        LOOPBACK,
        Modality,
        NodeConfiguration,
        free_port,
        read_commented_json,
        state_folder_of,
        write_configuration,
        write_workstation_configuration,
    )
    from pipeline.node.pair import SCANNER, WORKSTATION, PairConfiguration, write_pair
    from pipeline.node.process import OrthancProcess

__all__ = [
    "LOOPBACK",
    "SCANNER",
    "WORKSTATION",
    "Modality",
    "NodeConfiguration",
    "OrthancProcess",
    "PairConfiguration",
    "free_port",
    "read_commented_json",
    "state_folder_of",
    "write_configuration",
    "write_pair",
    "write_workstation_configuration",
]


_MODULES = {"OrthancProcess": "process"} | dict.fromkeys(
    ("SCANNER", "WORKSTATION", "PairConfiguration", "write_pair"), "pair"
)


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"pipeline.node.{_MODULES.get(name, 'configuration')}"), name)
