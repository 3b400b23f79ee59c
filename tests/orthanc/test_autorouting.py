"""Forwarding by Orthanc's own rules (deploy/autorouting.lua), with the node's own forwarding off."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, RTStructureSetStorage, generate_uid

from pipeline.names import MANUFACTURER
from pipeline.node import LOOPBACK, OrthancProcess, write_pair
from pipeline.node.demo.sender import StudyFile, send_study
from pipeline.settings import ROOT
from tests.patience import holds_within


@pytest.fixture(scope="module")
def routed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[OrthancProcess, OrthancProcess]]:
    """A node that forwards nothing itself but runs the Lua script, and a workstation."""
    pair = write_pair(
        tmp_path_factory.mktemp("autorouting"),
        settings={"Workers": 0, "Automatic": False, "Destinations": []},
        overrides={"LuaScripts": [str(ROOT / "deploy" / "autorouting.lua")]},
    )
    with OrthancProcess(pair.workstation) as receiver, OrthancProcess(pair.node) as sender:
        yield sender, receiver


def _instance(sop_class: str, modality: str, manufacturer: str) -> Dataset:
    """Return a small valid-enough object: what is routed is decided by its header."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = sop_class
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.PatientID, dataset.Modality, dataset.Manufacturer = "ROUTED", modality, manufacturer
    return dataset


def _upload(node: OrthancProcess, dataset: Dataset) -> None:
    content = BytesIO()
    dcmwrite(content, dataset, enforce_file_format=True)
    with node.client() as client:
        client.post("/instances", content=content.getvalue()).raise_for_status()


def _send(node: OrthancProcess, dataset: Dataset, folder: Path) -> None:
    path = folder / "instance.dcm"
    dcmwrite(path, dataset, enforce_file_format=True)
    file = StudyFile(path, dataset.StudyInstanceUID, dataset.SOPClassUID, dataset.file_meta.TransferSyntaxUID)
    configuration = node.configuration
    send_study([file], LOOPBACK, configuration.dicom_port, calling_aet="SCANNER", called_aet=configuration.aet)


def _arrives(workstation: OrthancProcess, dataset: Dataset, seconds: float) -> bool:
    query = {"Level": "Instance", "Query": {"SOPInstanceUID": dataset.SOPInstanceUID}}
    with workstation.client() as client:
        return holds_within(lambda: bool(client.post("/tools/find", json=query).raise_for_status().json()), seconds)


def test_a_result_of_the_node_is_sent_on(routed: tuple[OrthancProcess, OrthancProcess]) -> None:
    node, workstation = routed
    result = _instance(RTStructureSetStorage, "RTSTRUCT", MANUFACTURER)
    _upload(node, result)
    assert _arrives(workstation, result, seconds=20)


@pytest.mark.parametrize(
    ("sop_class", "modality", "manufacturer"),
    [
        pytest.param(MRImageStorage, "MR", "SCANNER MAKER", id="image from the scanner"),
        pytest.param(RTStructureSetStorage, "RTSTRUCT", "WORKSTATION MAKER", id="corrected contours"),
        pytest.param(RTStructureSetStorage, "RTSTRUCT", MANUFACTURER, id="our own contours, sent back"),
    ],
)
def test_what_arrives_by_dicom_is_not_sent_on(
    routed: tuple[OrthancProcess, OrthancProcess], tmp_path: Path, sop_class: str, modality: str, manufacturer: str
) -> None:
    node, workstation = routed
    arriving = _instance(sop_class, modality, manufacturer)
    _send(node, arriving, tmp_path)
    # Orthanc runs what Lua asked for in order: once a later result is there, this would be, too.
    marker = _instance(RTStructureSetStorage, "RTSTRUCT", MANUFACTURER)
    _upload(node, marker)
    assert _arrives(workstation, marker, seconds=20)
    assert not _arrives(workstation, arriving, seconds=1)
