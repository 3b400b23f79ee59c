"""Several readers of one study: each one's contours beside the others', how they agree, and their consensus."""

import shutil
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset

from pipeline.corrections.consensus import ReadRegions, consensus
from pipeline.corrections.edits import AskedConsensus
from pipeline.corrections.export import cases_to_export
from pipeline.corrections.importing import Outcome
from pipeline.corrections.readers import GOOD_DICE, counting, latest_of_each, readers_of, require_readers, standing
from pipeline.corrections.recognise import trust_of
from pipeline.corrections.record import CaseRecord
from pipeline.corrections.review import agreement
from pipeline.corrections.together import put_together
from pipeline.errors import GlioLoopError
from pipeline.finetune.schedule import usable
from pipeline.names import ROI_NAMES, TUMOUR_REGIONS, Region
from pipeline.objects.source import reference_series
from pipeline.settings.corrections import CorrectionPolicy
from pipeline.settings.finetune import FinetunePolicy
from tests.unit.corrections.phantom import record
from tests.unit.corrections.test_importing import Desk, ball, contours_of, saved_anew

Mask = NDArray[np.bool_]
AT = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def read_by(desk: Desk, reader: str, masks: dict[Region, Mask], approve: bool = True) -> Dataset:
    """A copy of the automatic contours as a reader changed them."""
    made = saved_anew(desk.edited(masks))
    made.OperatorsName, made.ApprovalStatus = reader, "APPROVED" if approve else "UNAPPROVED"
    return made


def handed_in(desk: Desk, reader: str, radius: float, approve: bool = True) -> CaseRecord:
    """A whole tumour of this radius; the rest as the network had drawn it."""
    case = desk.hand_in(read_by(desk, reader, {Region.WT: ball(desk.volume, radius)}, approve)).case
    assert case is not None
    return case


def cases_of(desk: Desk) -> list[CaseRecord]:
    return desk.store.of_study("study", desk.volume.study_instance_uid)


def asked(desk: Desk, accept: bool = False) -> Dataset:
    """The structure set of the consensus of the latest readers."""
    asked_for = AskedConsensus(consensus_of=tuple(one.id for one in latest_of_each(cases_of(desk))), accept=accept)
    series = reference_series(desk.headers, desk.volume)
    job, automatic = desk.processed.job.id, desk.structure_set
    return put_together(desk.store, asked_for, job, automatic, desk.automatic, series, "chief", AT)


def kept(outcome: Outcome) -> CaseRecord:
    assert outcome.case is not None, (outcome.verdict, outcome.detail)
    return outcome.case


# --- whose contours ---


def test_each_readers_latest_stands_beside_the_others(desk: Desk) -> None:
    first, other = handed_in(desk, "Roe^Ann", 10), handed_in(desk, "Doe^Jo", 8)
    again = handed_in(desk, "ROE^ANN^^", 11)
    assert first.reader == again.reader != other.reader
    assert [one.id for one in latest_of_each(cases_of(desk))] == [again.id, other.id]
    assert len(cases_of(desk)) == 3, "none is lost"
    assert "Roe" not in again.model_dump_json()


def test_who_is_not_named_is_told_by_station_and_device(desk: Desk) -> None:
    names = []
    for station, radius in (("DESK1", 10), ("DESK1", 11), ("DESK2", 12)):
        made = read_by(desk, "", {Region.WT: ball(desk.volume, radius)})
        made.StationName = station
        names.append(kept(desk.hand_in(made)).reader)
    assert names[0] == names[1] != names[2]
    made = Dataset()
    made.ContentCreatorName = "Roe^Ann"
    assert trust_of(made, CorrectionPolicy()).reviewer == "Roe^Ann", "as segmentations name who drew them"


def test_records_of_earlier_versions_are_read() -> None:
    """By reviewer; all that nobody's name stood on are one reader's."""
    old = record(1).model_dump(mode="json", exclude={"reader", "consensus_of", "agreement"})
    one, other = (CaseRecord.model_validate(old | {"id": f"{1:016x}-v{n}", "reviewer": ""}) for n in (1, 2))
    named = CaseRecord.model_validate(old | {"id": f"{1:016x}-v3", "reviewer": "ab"})
    assert [case.id[-2:] for case in latest_of_each([named, other, one])] == ["v2", "v3"]
    (pair,) = readers_of([named, other, one]).pairs
    assert pair.regions is None, "nobody compared them"


# --- how they agree ---


def test_two_readers_are_compared_where_both_drew(desk: Desk) -> None:
    handed_in(desk, "Roe^Ann", 10)
    drawn = desk.fresh(GTV_WT=ball(desk.volume, 6, (3, 0, 0)))
    drawn.OperatorsName = "Doe^Jo"
    second = kept(desk.hand_in(drawn))
    (beside,) = second.agreement
    assert list(beside.regions) == ["WT"], "the others were not drawn by both"
    one, other = ball(desk.volume, 10), ball(desk.volume, 6, (3, 0, 0))
    found = beside.regions["WT"]
    assert found.dice == pytest.approx(2 * (one & other).sum() / (one.sum() + other.sum()), abs=1e-3)
    assert (found.own_ml, found.other_ml) == pytest.approx((desk.ml(other), desk.ml(one)), abs=0.01)
    (pair,) = readers_of(cases_of(desk)).pairs
    assert pair.regions is not None
    assert (pair.first, pair.second, pair.regions["WT"].low) == (1, 2, found.dice < GOOD_DICE)
    assert pair.regions["WT"].difference_ml == pytest.approx(desk.ml(other) - desk.ml(one), abs=0.01)
    assert found.hd95_mm is not None and found.hd95_mm > 3


def test_a_readers_own_earlier_contours_are_not_compared_with(desk: Desk) -> None:
    handed_in(desk, "Roe^Ann", 10)
    assert handed_in(desk, "Roe^Ann", 11).agreement == ()


# --- consensus of masks ---


def _by(desk: Desk, said: str = "WT TC ET", **masks: Mask) -> ReadRegions:
    named = {Region(name): mask for name, mask in masks.items()}
    return ReadRegions({**desk.automatic, **named}, frozenset(map(Region, said.split())))


def test_of_two_readers_what_both_drew_is_kept_and_it_is_said(desk: Desk) -> None:
    a, b = ball(desk.volume, 10, (2, 0, 0)), ball(desk.volume, 10, (-2, 0, 0))
    found = consensus([_by(desk, WT=a), _by(desk, WT=b)], desk.automatic, desk.volume.image)
    assert (found.regions[Region.WT] == (a & b) | desk.automatic[Region.TC]).all()
    assert found.notes == ("WT: 2 readers, what both drew", "TC: 2 readers agree", "ET: 2 readers agree")
    within = consensus([_by(desk, WT=a), _by(desk, WT=a & b)], desk.automatic, desk.volume.image)
    assert (within.regions[Region.WT] == (a & b) | desk.automatic[Region.TC]).all(), "a tie is left out"


def test_of_three_readers_the_one_who_stands_alone_is_outweighed(desk: Desk) -> None:
    right, near, far = (ball(desk.volume, 10, (off, 0, 0)) for off in (0, 0.8, 14))
    three = [_by(desk, WT=right), _by(desk, WT=near), _by(desk, WT=far)]
    found = consensus(three, desk.automatic, desk.volume.image).regions[Region.WT]
    assert 2 * (found & right).sum() / (found.sum() + right.sum()) > 0.9
    assert not found[(far & ~right & ~near)].any()


def test_what_a_reader_did_not_draw_is_not_empty(desk: Desk) -> None:
    """Not drawn: no voice. Deleted: a voice for none. Drawn by nobody: as the network had drawn it."""
    none = desk.automatic[Region.ET] & False
    larger = ball(desk.volume, 6)
    silent = consensus([_by(desk, "WT", ET=none), _by(desk, "WT ET", ET=larger)], desk.automatic, desk.volume.image)
    assert (silent.regions[Region.ET] == larger).all()
    assert silent.notes[1:] == ("TC: drawn by nobody, automatic", "ET: drawn by one reader only, as he drew it")
    assert (silent.regions[Region.TC] == desk.automatic[Region.TC]).all()
    deleted = consensus([_by(desk, ET=none), _by(desk, ET=none)], desk.automatic, desk.volume.image)
    assert not deleted.regions[Region.ET].any() and deleted.notes[2] == "ET: 2 readers find none"


def test_a_consensus_is_nested(desk: Desk) -> None:
    """Readers of the core are not those of the whole tumour."""
    core = ball(desk.volume, 12)
    found = consensus([_by(desk, "TC", TC=core), _by(desk, "TC", TC=core), _by(desk, "WT")], desk.automatic,
                      desk.volume.image).regions  # fmt: skip
    assert (found[Region.WT] & core == core).all()
    for outer, inner in pairwise(TUMOUR_REGIONS):
        assert not (found[inner] & ~found[outer]).any()


# --- consensus as a correction ---


def test_a_consensus_comes_back_as_the_correction_that_counts_until_a_reader_draws_again(desk: Desk) -> None:
    first, second = handed_in(desk, "Roe^Ann", 10), handed_in(desk, "Doe^Jo", 8)
    with_mean = kept(desk.hand_in(asked(desk, accept=True)))
    assert with_mean.consensus_of == (first.id, second.id)
    assert (with_mean.kind, with_mean.trusted, with_mean.notes[0]) == (
        "corrected", True, "WT: 2 readers, what both drew")  # fmt: skip
    assert with_mean.regions["WT"].corrected_ml == pytest.approx(desk.ml(ball(desk.volume, 8)), abs=0.02)
    assert standing(cases_of(desk))[0].id == with_mean.id
    assert [one.id for one in usable(FinetunePolicy(), desk.store)] == [with_mean.id]
    assert [one.id for one in cases_to_export(desk.store, every=False)] == [with_mean.id]
    found = readers_of(cases_of(desk))
    assert found.consensus is not None and not found.consensus.stale and len(found.readings) == 2
    assert {one.case for one in agreement(desk.store.cases()).points} == {first.id, second.id}, "its readers count"

    later = handed_in(desk, "Doe^Jo", 9.5)
    found = readers_of(cases_of(desk))
    assert found.consensus is not None and found.consensus.stale
    assert [one.id for one in usable(FinetunePolicy(), desk.store)] == [later.id]
    assert with_mean.id not in {one.id for one in standing(cases_of(desk))}

    desk.store.delete(later.id)
    assert [one.id for one in usable(FinetunePolicy(), desk.store)] == [with_mean.id], "current again"
    assert [one.id for one in desk.store.delete(first.id)] == [first.id, with_mean.id]


def test_a_consensus_that_nobody_approved_does_not_stand_before_an_approved_reader(desk: Desk) -> None:
    handed_in(desk, "Roe^Ann", 10)
    second = handed_in(desk, "Doe^Jo", 8)
    made = kept(desk.hand_in(asked(desk)))
    assert not made.trusted and made.approval == "UNAPPROVED"
    assert [one.id for one in usable(FinetunePolicy(), desk.store)] == [second.id]
    assert [one.id for one in usable(FinetunePolicy(learn_from="all"), desk.store)] == [made.id]
    assert len(counting(desk.store.cases(), lambda _: True)) == 1, "never two of one study"


def test_a_consensus_without_a_change_is_kept_all_the_same(desk: Desk) -> None:
    handed_in(desk, "Roe^Ann", 10)
    untouched = kept(desk.hand_in(read_by(desk, "Doe^Jo", {})))
    assert untouched.kind == "accepted"
    made = kept(desk.hand_in(asked(desk)))
    assert (made.kind, made.trusted) == ("corrected", False), "nobody accepted it"


def test_a_consensus_says_of_a_region_what_its_readers_say(desk: Desk) -> None:
    for reader, radius in (("Roe^Ann", 10.0), ("Doe^Jo", 9.5)):
        drawn = desk.fresh(GTV_WT=ball(desk.volume, radius))
        drawn.OperatorsName = reader
        desk.hand_in(drawn)
    made = kept(desk.hand_in(asked(desk)))
    assert [name for name, one in made.regions.items() if one.drawn] == ["WT"]


def test_a_consensus_that_a_person_edits_is_that_persons(desk: Desk) -> None:
    """In place, too: its UIDs follow from its voxels."""
    for reader, radius in (("Roe^Ann", 10.0), ("Doe^Jo", 8.0)):
        handed_in(desk, reader, radius)
    made = asked(desk)
    assert made.OperatorsName == "chief" and "(consensus)" in made.SeriesDescription
    assert all(one.id in made.StructureSetDescription for one in cases_of(desk))
    contours_of(made, ROI_NAMES[Region.WT]).ContourSequence = desk.contours(ball(desk.volume, 9.7))
    made.ReviewerName = "Moe^Al"
    edited = kept(desk.hand_in(made))
    assert edited.consensus_of == () and len(latest_of_each(cases_of(desk))) == 3
    anew = saved_anew(asked(desk))
    assert kept(desk.hand_in(anew)).consensus_of == ()


def test_a_reader_alone_makes_no_consensus(desk: Desk) -> None:
    handed_in(desk, "Roe^Ann", 10)
    handed_in(desk, "Roe^Ann", 11)
    with pytest.raises(GlioLoopError) as caught:
        require_readers(cases_of(desk))
    assert caught.value.code == "READERS_TOO_FEW"


def test_readers_of_other_slices_make_no_consensus(desk: Desk, tmp_path: Path) -> None:
    """As if the study had been processed on another series when the first one drew."""
    case = handed_in(desk, "Roe^Ann", 10)
    files = tmp_path / "files"
    files.mkdir()
    for path in desk.store.path(case.id).iterdir():
        shutil.copy(path, files / path.name.removeprefix(f"{case.id}_"))
    drawn = files / "contours.json"
    drawn.write_text(drawn.read_text().replace(desk.volume.slices[3].sop_instance_uid, "1.2.3"))
    desk.store.keep(case.model_copy(update={"reader": "other", "fingerprint": "other"}), files)
    assert handed_in(desk, "Roe^Ann", 9.5).agreement == (), "nor are they compared"
    with pytest.raises(GlioLoopError) as caught:
        asked(desk)
    assert caught.value.code == "READERS_ON_OTHER_IMAGES"


def test_a_reading_of_an_earlier_version_takes_part(desk: Desk) -> None:
    """It is read from the image of 1 mm: near what was drawn."""
    first = handed_in(desk, "Roe^Ann", 10)
    (desk.store.path(first.id) / f"{first.id}_drawn.nii.gz").unlink()
    second = handed_in(desk, "Doe^Jo", 10)
    assert second.agreement[0].regions["WT"].dice > 0.9


def test_holes_that_are_asked_about_are_no_reading() -> None:
    meant, asked_about = record(1, reader="a", id=f"{1:016x}-v1"), record(1, reader="b", kind="holes_filled")
    assert latest_of_each([asked_about, meant]) == [meant]
