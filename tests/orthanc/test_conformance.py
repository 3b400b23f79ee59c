"""What docs/conformance.md says of associations, asked of the Orthanc that it describes."""

import re
from collections.abc import Iterator

import pytest
from pydicom.uid import AllTransferSyntaxes, ImplicitVRLittleEndian, MRImageStorage
from pynetdicom import AE
from pynetdicom.sop_class import Verification

from pipeline.node import LOOPBACK, SCANNER, OrthancProcess, write_pair
from pipeline.settings import ROOT

PAGE = (ROOT / "docs" / "conformance.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancProcess]:
    """A node without workers: only its DICOM server is asked."""
    pair = write_pair(tmp_path_factory.mktemp("conformance"), settings={"Workers": 0, "Automatic": False}, overrides={})
    with OrthancProcess(pair.node) as running:
        with running.client() as client:
            version = client.get("/system").json()["Version"]
        if f"Orthanc {version}" not in PAGE:
            pytest.skip(f"the page describes another Orthanc than {version}")
        yield running


def _accepts(node: OrthancProcess, sop_class: str, syntax: str, title: str = SCANNER) -> bool | None:
    """Whether a context is accepted; None where no association comes up."""
    entity = AE(title)
    entity.add_requested_context(sop_class, syntax)
    there = node.configuration
    association = entity.associate(LOOPBACK, there.dicom_port, ae_title=there.aet)
    if not association.is_established:
        return None
    accepted = bool(association.accepted_contexts)
    association.release()
    return accepted


def _promised() -> set[str]:
    """UIDs of the page's table of transfer syntaxes, spans written out."""
    table = PAGE[PAGE.index("| transfer syntax | UID |") :].partition("\n\n")[0]
    found: set[str] = set()
    for cell in re.findall(r"\| (1\.2\.840[^|]*) \|", table):
        first, *rest = cell.split()
        stem, _, number = first.rpartition(".")
        last = int(rest[-1].lstrip(".")) if rest else int(number)
        found |= {f"{stem}.{one}" for one in range(int(number), last + 1)}
    return found


def test_transfer_syntaxes_of_storage_are_those_of_the_page(node: OrthancProcess) -> None:
    accepted = {str(one) for one in AllTransferSyntaxes if _accepts(node, MRImageStorage, one)}
    assert accepted == _promised()


def test_the_storage_classes_of_the_page_are_accepted(node: OrthancProcess) -> None:
    named = re.findall(r"Storage \| (1\.2\.840\.10008\.5\.1\.4\.1\.1[\d.]*) \|", PAGE)
    assert named
    assert all(_accepts(node, one, ImplicitVRLittleEndian) for one in named)


def test_nobody_but_listed_modalities_gets_an_association(node: OrthancProcess) -> None:
    assert _accepts(node, Verification, ImplicitVRLittleEndian)
    assert _accepts(node, Verification, ImplicitVRLittleEndian, title="NOBODY") is None
