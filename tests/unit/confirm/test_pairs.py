"""Two series that only their images tell apart: right, the other way round, and in doubt."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from benchmarks.displacements import displaced, random_displacement, volume_of
from pipeline.case.workspace import Workspace
from pipeline.confirm import pairs
from pipeline.errors import GlioLoopError
from pipeline.identify import Decision, OpenPair, SeriesVerdict
from pipeline.names import MRSequence
from pipeline.volume import SourceVolume, read_volume
from tests.unit.align.test_align import phantom

T1_PAIR = OpenPair((MRSequence.T1, MRSequence.T1C), "two equal T1")
T2_PAIR = OpenPair((MRSequence.T2, MRSequence.FLAIR), "two with long times")


def left_open(pair: OpenPair) -> Decision:
    """A decision that took series A for the pair's first sequence and B for its second, provisionally."""
    chosen = dict(zip(pair.sequences, ("A", "B"), strict=True))
    verdicts = tuple(
        SeriesVerdict(uid, "", number, "", "chosen", sequence, 45.0, {}, ("timing",))
        for number, (sequence, uid) in enumerate(chosen.items())
    )
    return Decision(chosen, verdicts, (pair,))


def displaced_phantom(sequence: MRSequence, seed: int) -> SourceVolume:
    motion = random_displacement(np.random.default_rng(seed), np.zeros(3))
    return volume_of(displaced(phantom(sequence), motion))


@pytest.mark.parametrize("pair", [T1_PAIR, T2_PAIR])
@pytest.mark.parametrize("swapped", [False, True])
def test_displaced_phantoms_are_told_apart(pair: OpenPair, swapped: bool) -> None:
    shown = pair.sequences[::-1] if swapped else pair.sequences
    volumes = {pair.sequences[0]: volume_of(phantom(shown[0])), pair.sequences[1]: displaced_phantom(shown[1], 3)}
    settled = pairs.settle(left_open(pair), volumes)
    assert settled.open == ()
    assert [settled.chosen[sequence] for sequence in pair.sequences] == (["B", "A"] if swapped else ["A", "B"])
    assert all("by the images" in verdict.reasons[-1] for verdict in settled.verdicts)


def brighter(image: sitk.Image) -> sitk.Image:
    """The same picture with the receiver's gain turned up: no contrast agent."""
    return image * 1.7


@pytest.mark.parametrize("pair", [T1_PAIR, T2_PAIR])
def test_the_same_picture_twice_is_refused_with_the_reason(pair: OpenPair) -> None:
    first = phantom(pair.sequences[0])
    second = sitk.AdditiveGaussianNoise(brighter(first), standardDeviation=4.0, seed=7)
    volumes = {pair.sequences[0]: volume_of(first), pair.sequences[1]: volume_of(second)}
    with pytest.raises(GlioLoopError, match="the images do not tell") as caught:
        pairs.settle(left_open(pair), volumes)
    assert caught.value.code == "SEQUENCE_UNDECIDED"
    assert caught.value.as_json()["data"]["open"]  # type: ignore[index]


def test_a_decision_without_open_pairs_stays_as_it_is() -> None:
    decision = Decision({MRSequence.T1: "A"})
    assert pairs.settle(decision, {}) is decision


def test_t2_and_flair_of_the_real_study(real_study: Path) -> None:
    volumes = {s: read_volume(sorted((real_study / s.value).glob("*.dcm"))) for s in T2_PAIR.sequences}
    assert pairs.settle(left_open(T2_PAIR), volumes).chosen == {MRSequence.T2: "A", MRSequence.FLAIR: "B"}
    other_way = {MRSequence.T2: volumes[MRSequence.FLAIR], MRSequence.FLAIR: volumes[MRSequence.T2]}
    assert pairs.settle(left_open(T2_PAIR), other_way).chosen == {MRSequence.T2: "B", MRSequence.FLAIR: "A"}


def test_files_change_places_with_their_series(tmp_path: Path) -> None:
    case = Workspace(tmp_path)
    for sequence in MRSequence:
        case.source(sequence).mkdir(parents=True)
        (case.source(sequence) / f"{sequence.value}.dcm").touch()
    case.rename_sources({s: s for s in MRSequence} | {MRSequence.T1: MRSequence.T1C, MRSequence.T1C: MRSequence.T1})
    names = {sequence: [path.name for path in case.source_files(sequence)] for sequence in MRSequence}
    assert names == {
        MRSequence.T1: ["t1c.dcm"],
        MRSequence.T1C: ["t1.dcm"],
        MRSequence.T2: ["t2.dcm"],
        MRSequence.FLAIR: ["flair.dcm"],
    }
