"""A processing node and a workstation that know each other, both on loopback: the demo's servers, and the tests'."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from pipeline.node.configuration import (
    Modality,
    NodeConfiguration,
    free_port,
    write_configuration,
    write_workstation_configuration,
)
from pipeline.node.viewer import viewer_template

WORKSTATION: Final = "workstation"
#: AE title of who sends studies to the node.
SCANNER: Final = "SCANNER"


class PairConfiguration(NamedTuple):
    """Configurations of both."""

    node: NodeConfiguration
    workstation: NodeConfiguration


def write_pair(
    folder: Path,
    settings: Mapping[str, object],
    overrides: Mapping[str, object],
    modalities: Mapping[str, Modality] | None = None,
    viewer: Path | None = None,
) -> PairConfiguration:
    """Configure both on free ports; nothing runs yet.

    Parameters
    ----------
    folder
        Gets a state folder each, ``node`` and ``workstation``.
    settings
        Section ``GlioLoop`` of the node. Results go to the workstation unless it says otherwise.
    overrides
        Options of the node's Orthanc.
    modalities
        Further ones that the node knows, beside ``workstation`` and ``scanner``. The workstation knows the
        node as ``node``, for corrections on their way back.
    viewer
        Folder of the OHIF viewer that the workstation serves.
    """
    node_port, workstation_port = free_port(), free_port()
    scanner = Modality(SCANNER, 104)  # nothing is ever sent to it
    workstation = write_workstation_configuration(
        folder / WORKSTATION,
        http_port=free_port(),
        dicom_port=workstation_port,
        modalities={"node": Modality("GLIOLOOP", node_port), "scanner": scanner},
        viewer=viewer,
    )
    node = write_configuration(
        folder / "node",
        http_port=free_port(),
        dicom_port=node_port,
        modalities={
            "scanner": scanner,
            WORKSTATION: Modality("WORKSTATION", workstation_port),
            **(modalities or {}),
        },
        settings={
            "Destinations": [{"Modality": WORKSTATION}],
            "ViewerUrl": viewer_template(workstation.url) if viewer else "",
            "EditorUrl": viewer_template(workstation.url, editable=True) if viewer else "",
            **settings,
        },
        overrides=overrides,
    )
    return PairConfiguration(node, workstation)
