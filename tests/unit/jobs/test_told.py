"""What is told of an exception is its type and place: its text may quote a patient's name or birth date."""

import os
import subprocess
import sys
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian

from pipeline.errors import GlioLoopError
from pipeline.errors.resources import coded, place_of
from pipeline.jobs.serializer import JsonSerializer
from pipeline.settings import ROOT
from pipeline.volume import read_volume

NAME = "ZYXWHOLM"

_TALKS = """
import logging, sys, threading, time
import structlog
from dbos import DBOS
from pipeline.jobs.launch import launch
from pipeline.settings import load_settings
from pipeline.worker import process as worker

settings = load_settings()
worker.configure_logging(settings)
worker.require_whole(settings)

@DBOS.step(retries_allowed=True, max_attempts=2, interval_seconds=0.1)
def step():
    raise ValueError("ZYXWHOLM 19500102")

@DBOS.workflow()
def workflow():
    step()

launch(settings)
handle = DBOS.start_workflow(workflow)
try:
    handle.get_result()
except Exception:
    structlog.get_logger().exception("told", job="x")
thread = threading.Thread(target=lambda: int("ZYXWHOLM"))
thread.start()
thread.join()
float("ZYXWHOLM")
"""


@pytest.mark.parametrize("keyword", ["PixelSpacing", "ImagePositionPatient", "NumberOfFrames", "RescaleSlope"])
def test_a_header_that_quotes_a_name(keyword: str, sample_study: Path, tmp_path: Path) -> None:
    """The same damage in every slice: decoding it raises, and what it raises quotes the value."""
    tag = pydicom.tag.Tag(keyword)
    vr = pydicom.datadict.dictionary_VR(tag)
    start = tag.group.to_bytes(2, "little") + tag.element.to_bytes(2, "little")
    files = []
    for path in sorted((sample_study / "t1").glob("*.dcm")):
        dataset = pydicom.dcmread(path)
        dataset.decompress()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset[tag] = pydicom.DataElement(tag, "LO", NAME)
        files.append(tmp_path / path.name)
        dataset.save_as(files[-1])
        raw = files[-1].read_bytes()
        assert raw.count(start + b"LO") == 1
        files[-1].write_bytes(raw.replace(start + b"LO", start + vr.encode()))
    with pytest.raises(GlioLoopError) as raised:
        read_volume(files)
    assert NAME not in str(raised.value.as_json()), raised.value.as_json()


def test_unforeseen_errors_keep_their_place_and_lose_their_text() -> None:
    with pytest.raises(GlioLoopError) as raised, coded("load"):
        int(NAME)
    assert raised.value.code == "INTERNAL"
    assert NAME not in str(raised.value)
    assert raised.value.detail.startswith("load: ValueError at ") and "test_told.py:" in raised.value.detail
    stored = JsonSerializer().serialize(ValueError(NAME))
    assert NAME not in stored and "ValueError" in stored


def test_what_helps_and_is_nobodys_name() -> None:
    try:
        pydicom.Dataset().ROINumber  # noqa: B018 - the look itself
    except AttributeError as error:
        assert "AttributeError (ROINumber)" in place_of(error)
    try:
        Path("/").write_bytes(b"")
    except OSError as error:
        assert "IsADirectoryError (Is a directory)" in place_of(error)


def test_nothing_that_a_worker_writes_quotes_an_exception(tmp_path: Path) -> None:
    """What DBOS logs of a step's tries, our own lines, a thread's death and the interpreter's."""
    environment = os.environ | {"GLIOLOOP_STATE_FOLDER": str(tmp_path), "GLIOLOOP_ORTHANC_URL": "http://127.0.0.1:1"}
    ran = subprocess.run(
        [sys.executable, "-c", _TALKS], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    written = ran.stdout + ran.stderr
    assert ran.returncode == 1, written[-2000:]
    for said in ("automatically retried", '"event": "told"', "thread ended by an error", '"event": "ended by an error'):
        assert said in written, written
    assert NAME not in written, written
    for path in tmp_path.glob("queue.sqlite*"):
        assert NAME.encode() not in path.read_bytes()
