"""The run-time configuration of an Orthanc."""

import json
import stat
from pathlib import Path

import pytest

from pipeline.errors import GlioLoopError
from pipeline.names import MRSequence
from pipeline.node import Modality, free_port, read_commented_json, write_configuration, write_workstation_configuration
from pipeline.node.configuration import NODE_CONFIGURATION, NodeConfiguration
from pipeline.settings import Settings, load_settings


def _read(configuration: NodeConfiguration) -> dict[str, object]:
    content: dict[str, object] = json.loads((configuration.folder / "orthanc.json").read_text())
    return content


def test_comments_are_left_out_and_strings_kept(tmp_path: Path) -> None:
    file = tmp_path / "orthanc.json"
    file.write_text(
        '/* head */ { // one\n "Url" : "http://x//y /* no comment */", "Quote" : "a\\"//b" /* two\nlines */ }'
    )
    assert read_commented_json(file) == {"Url": "http://x//y /* no comment */", "Quote": 'a"//b'}


def test_the_line_of_an_error_is_the_line_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "orthanc.json"
    file.write_text('{\n/* one\ntwo */\n"A" : oops }')
    with pytest.raises(GlioLoopError, match="line 4") as raised:
        read_commented_json(file)
    assert raised.value.code == "CONFIGURATION_INVALID"


@pytest.mark.parametrize("text", ["[]", "3"])
def test_a_configuration_is_an_object(tmp_path: Path, text: str) -> None:
    (tmp_path / "orthanc.json").write_text(text)
    with pytest.raises(GlioLoopError, match="not a JSON object"):
        read_commented_json(tmp_path / "orthanc.json")


def test_the_default_is_closed(tmp_path: Path) -> None:
    content = _read(write_configuration(tmp_path))
    assert content["AuthenticationEnabled"] is True
    assert content["RemoteAccessAllowed"] is False
    assert content["DicomCheckCalledAet"] is True
    assert content["DicomCheckModalityHost"] is True
    assert not any(value for key, value in content.items() if key.startswith("DicomAlwaysAllow"))
    assert content["ExecuteLuaEnabled"] is False


def test_secrets_are_the_owners_and_stay_the_same(tmp_path: Path) -> None:
    first = write_configuration(tmp_path)
    again = write_configuration(tmp_path)
    other = write_configuration(tmp_path / "other")
    assert first.password == again.password
    assert first.password != other.password
    assert len(first.password) >= 24
    for file in first.folder.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name
    assert stat.S_IMODE(first.folder.stat().st_mode) == 0o700
    assert first.password not in repr(first)
    assert first.password not in (first.folder / "orthanc.json").read_text()


def test_ports_modalities_and_settings_are_put_in(tmp_path: Path) -> None:
    configuration = write_configuration(
        tmp_path,
        http_port=12345,
        dicom_port=12346,
        modalities={"workstation": Modality("WORKSTATION", 12347)},
        settings={"GraceSeconds": 3},
        overrides={"StableAge": 2},
    )
    content = _read(configuration)
    assert (configuration.url, configuration.dicom_port) == ("http://127.0.0.1:12345", 12346)
    assert content["DicomModalities"] == {"workstation": {"AET": "WORKSTATION", "Host": "127.0.0.1", "Port": 12347}}
    assert content["GlioLoop"]["GraceSeconds"] == 3  # type: ignore[index]
    assert content["GlioLoop"]["StateFolder"] == str(tmp_path)  # type: ignore[index]
    assert content["StableAge"] == 2
    assert str(content["StorageDirectory"]).startswith(str(tmp_path))


def test_a_wrong_key_is_refused_with_its_name_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(GlioLoopError, match="GraceSecond"):
        write_configuration(tmp_path, settings={"GraceSecond": 3})


@pytest.mark.parametrize("wrong", [["t1c"], ["t3"]])
def test_what_may_lack_is_a_sequence_and_never_the_reference(wrong: list[str]) -> None:
    assert load_settings({"MayLack": ["t1"]}).may_lack == (MRSequence.T1,)
    with pytest.raises(GlioLoopError, match="MayLack"):
        load_settings({"MayLack": wrong})


def test_the_workstation_runs_no_script(tmp_path: Path) -> None:
    content = _read(write_workstation_configuration(tmp_path, http_port=free_port(), dicom_port=free_port()))
    assert "PythonScript" not in content
    assert "GlioLoop" not in content


def test_orthanc_json_lists_every_key_with_its_default() -> None:
    section = read_commented_json(NODE_CONFIGURATION)["GlioLoop"]
    secret = {"OrthancUrl", "OrthancUser", "OrthancPassword", "Token"}  # set by the plugin, or by environment
    defaults = Settings().model_dump(mode="json", by_alias=True)
    names = {"".join(part.capitalize() for part in name.split("_")): name for name in Settings.model_fields}
    assert set(section) == set(names) - secret
    other = {"StateFolder", "ModelsFolder", "Interpreter", "Identification"}  # not as dumped
    for key, value in section.items():
        if key not in other:
            assert value == defaults[names[key]], key
