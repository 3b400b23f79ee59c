"""Real Orthancs: their configuration, their processes, and the node in the foreground."""

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
from pipeline.node.process import OrthancProcess

__all__ = [
    "LOOPBACK",
    "Modality",
    "NodeConfiguration",
    "OrthancProcess",
    "free_port",
    "read_commented_json",
    "state_folder_of",
    "write_configuration",
    "write_workstation_configuration",
]
