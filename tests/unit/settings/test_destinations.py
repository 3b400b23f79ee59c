"""Destinations of every kind, as they stand in orthanc.json."""

import pytest

from pipeline.errors import GlioLoopError
from pipeline.settings import OBJECT_KINDS, DicomWeb, Folder, Modality, Peer, load_settings


def test_each_kind_is_told_by_the_key_that_says_where() -> None:
    settings = load_settings(
        {
            "Destinations": [
                {"Modality": "workstation", "Send": ["rtstruct"]},  # as in every version
                {"Modality": "pacs", "Name": "pacs-sc", "Commitment": True, "Alternate": "drawer"},
                {"DicomWeb": "research"},
                {"Peer": "other", "TransferSyntax": "1.2.840.10008.1.2.4.80"},
                {"Folder": "/srv/results", "Name": "drawer"},
            ]
        }
    )
    assert [type(one) for one in settings.destinations] == [Modality, Modality, DicomWeb, Peer, Folder]
    assert [one.name for one in settings.destinations_of(None)] == ["workstation", "pacs-sc", "research", "other"]
    assert settings.destination("pacs-sc").address == "pacs"
    assert settings.destination("not-configured") == Modality(modality="not-configured")
    assert settings.destination("research").send == (*OBJECT_KINDS, "course")


@pytest.mark.parametrize(
    ("destination", "told"),
    [
        ({}, "Modality"),
        ({"Modality": "a", "Folder": "/b", "Name": "c"}, "Modality"),
        ({"Folder": "/srv"}, "Name"),
        ({"Folder": "srv", "Name": "relative"}, "Folder"),
        ({"DicomWeb": "a", "TransferSyntax": "1.2.840.10008.1.2.4.80"}, "TransferSyntax"),
        ({"DicomWeb": "a", "Commitment": True}, "Commitment"),
        ({"Modality": "a", "Alternate": "a"}, "alternate"),
        ({"Modality": "a", "Alternate": "b"}, "alternate"),
        ({"Modality": "a", "Sned": []}, "Sned"),
        ({"Modality": "../x"}, "Modality"),
        ("workstation", "Destinations"),
    ],
)
def test_what_is_no_destination_is_refused_by_name(destination: object, told: str) -> None:
    with pytest.raises(GlioLoopError, match=told) as refused:
        load_settings({"Destinations": [destination]})
    assert refused.value.code == "CONFIGURATION_INVALID"
