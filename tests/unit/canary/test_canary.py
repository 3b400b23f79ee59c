"""The check of the node: what it sends, what it compares, what it tells."""

import time
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pydicom
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from pipeline.canary.expected import Expectations, agreements, differences, far_from_truth, sample_volume, truth
from pipeline.canary.study import test_images as sample_images
from pipeline.errors import GlioLoopError
from pipeline.errors.records import ErrorRecord
from pipeline.jobs.checks import CheckOptions, CheckState, check_state, collect_check, enqueue_check, schedule_check
from pipeline.jobs.queue import JobQueue
from pipeline.names import TUMOUR_REGIONS, MRSequence, Region
from pipeline.settings import load_settings


def test_each_check_sends_another_study_and_a_repeated_step_the_same() -> None:
    first, again, other = ([pydicom.dcmread(BytesIO(one)) for one in sample_images(seed)] for seed in "aab")
    assert len(first) == 156
    for one, two, three in zip(first, again, other, strict=True):
        assert one.PatientID == "GLIOLOOP-CHECK"
        assert one.SOPInstanceUID == two.SOPInstanceUID != three.SOPInstanceUID
        assert one.StudyInstanceUID == first[0].StudyInstanceUID != three.StudyInstanceUID
        assert one.file_meta.MediaStorageSOPInstanceUID == one.SOPInstanceUID
        assert one.ImagePositionPatient == three.ImagePositionPatient
    assert len({one.SOPInstanceUID for one in first}) == 156
    assert len({one.SeriesInstanceUID for one in first}) == 4


def test_contours_are_the_expected_ones_or_are_told_region_by_region(tmp_path: Path) -> None:
    volume = sample_volume(MRSequence.T1C)
    real = truth(volume)
    assert not differences(agreements(real, real, volume))
    assert not far_from_truth(agreements(real, real, volume))
    shifted = {region: np.roll(mask, 2, axis=2) for region, mask in real.items()}
    told = differences(agreements(shifted, real, volume))
    assert [one.partition(":")[0] for one in told] == ["WT", "TC", "ET"]
    nothing = {region: np.zeros_like(mask) for region, mask in real.items()}
    assert len(far_from_truth(agreements(nothing, real, volume))) == 3
    some = real | {Region.ET: nothing[Region.ET]}
    assert differences(agreements(some, real, volume)) == ["ET: Dice 0.000, 0.0 ml for 6.8 ml"]

    expectations = Expectations(tmp_path)
    assert expectations.read("net@1") is None
    expectations.record("net@1", real)
    kept = expectations.read("net@1")
    assert kept is not None
    assert all(np.array_equal(kept[region], real[region]) for region in TUMOUR_REGIONS)
    assert expectations.read("net@2") is None
    expectations.file("net@1").write_bytes(b"PK")
    with pytest.raises(GlioLoopError, match="NODE_UNWELL"):
        expectations.read("net@1")


def _state(*found: dict[str, Any], every_hours: float = 0) -> CheckState:
    """Return the state by these workflows, the latest first."""
    defaults = {"created_at": 0, "updated_at": None, "delay_until_epoch_ms": None, "output": None, "workflow_id": "x"}
    listed = [SimpleNamespace(**defaults | one) for one in found]
    queue = SimpleNamespace(client=SimpleNamespace(list_workflows=lambda **_: listed))
    return check_state(queue, 3600, every_hours)  # type: ignore[arg-type]


def test_the_latest_check_that_ended_decides_and_one_that_does_not_end_counts() -> None:
    now = 1000 * time.time()
    good = {"status": "SUCCESS", "output": {"well": True, "dice": {"WT": 1.0}}, "created_at": now, "updated_at": now}
    error = ErrorRecord.of(GlioLoopError("NODE_UNWELL", "WT"))
    bad = good | {"output": {"well": False, "error": error.as_json()}}
    running = {"status": "PENDING", "created_at": now}
    assert _state().state == "never"
    assert _state(running).state == "running"
    assert _state(good, bad).state == "well"
    assert (_state(bad, good).state, _state(bad, good).error) == ("unwell", error)
    assert (_state(running, good).state, _state(running, good).running) == ("well", True)
    assert _state(running, bad).state == "unwell"
    assert _state(running | {"created_at": now - 7200_000}, good).state == "unwell"
    assert _state(running | {"created_at": now - 7200_000, "delay_until_epoch_ms": now}, good).state == "well"
    assert _state({"status": "ERROR"}).state == "unwell"
    old = good | {"updated_at": now - 10 * 3600_000}
    assert _state(old, every_hours=0).state == "well"
    assert _state(old, every_hours=4).state == "unwell"
    assert _state({"status": "SUCCESS", "output": None}, good).state == "well"  # of a rhythm that is out of date


@pytest.mark.parametrize("well", [True, False])
def test_metrics(well: bool) -> None:
    error = None if well else GlioLoopError("NODE_UNWELL", "WT").as_json()
    output = {"well": well, "error": error, "dice": {"WT": 0.5}, "seconds": 7.0}
    collector = CollectorRegistry()
    collect_check(_state({"status": "SUCCESS", "output": output, "updated_at": 5000}), collector)
    text = generate_latest(collector).decode()
    assert f"glioloop_check_well {float(well)}" in text
    assert 'glioloop_check_dice{region="WT"} 0.5' in text
    assert "glioloop_check_duration_seconds 7.0" in text


def test_the_next_regular_check_is_asked_for_once(tmp_path: Path) -> None:
    queue = JobQueue(f"sqlite:///{tmp_path / 'queue.sqlite'}")
    queue.client._sys_db.run_migrations()
    queue.make_tables()
    schedule_check(queue, 24)
    schedule_check(queue, 24)
    (waiting,) = queue.client.list_workflows(name="check")
    assert waiting.status == "DELAYED"
    assert waiting.input is not None
    assert waiting.input["args"][1] == "24h"
    identity = enqueue_check(queue, CheckOptions(record=True))
    assert check_state(queue, 3600, 0).id == identity
    assert check_state(queue, 3600, 0).running
    queue.close()


def test_the_rhythm_is_a_setting() -> None:
    assert load_settings({}).check_every_hours == 0
    assert load_settings({"CheckEveryHours": 0.5}).check_every_hours == 0.5
    with pytest.raises(GlioLoopError, match="CheckEveryHours"):
        load_settings({"CheckEveryHours": -1})
