"""Series told apart by their images alone: T1 before and after contrast, T2 and FLAIR, both ways round.

Over every real study of the shared data that has the pair, and the synthetic one that is shipped. Counts what was told
right, refused, and told wrong.
"""

import argparse
import json
from collections import Counter
from pathlib import Path

from benchmarks.displacements import clinical_study, research_studies
from benchmarks.environment import ROOT, shared_data
from pipeline.confirm import settle
from pipeline.errors import GlioLoopError
from pipeline.identify import Decision, OpenPair
from pipeline.names import MRSequence
from pipeline.volume import SourceVolume, read_volume

PAIRS = ((MRSequence.T1, MRSequence.T1C), (MRSequence.T2, MRSequence.FLAIR))


def studies(shared: Path) -> dict[str, dict[MRSequence, SourceVolume]]:
    """By name."""
    sample = ROOT / "samples" / "synthetic-study"
    found = {study.name: study.volumes for study in (clinical_study(shared), *research_studies(shared))}
    found["synthetic-study"] = {s: read_volume(sorted((sample / s.value).glob("*.dcm"))) for s in MRSequence}
    return found


def told(volumes: dict[MRSequence, SourceVolume], pair: tuple[MRSequence, MRSequence], swapped: bool) -> str:
    """How the pair is told apart when it is given this way round: right, refused or wrong."""
    given = pair[::-1] if swapped else pair
    chosen = {sequence: shown.value for sequence, shown in zip(pair, given, strict=True)}
    decision = Decision(chosen, (), (OpenPair(pair, "headers say nothing"),))
    try:
        settled = settle(decision, {sequence: volumes[shown] for sequence, shown in zip(pair, given, strict=True)})
    except GlioLoopError:
        return "refused"
    return "right" if settled.chosen == {sequence: sequence.value for sequence in pair} else "wrong"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    report: dict[str, dict[str, str | int]] = {}
    for pair in PAIRS:
        name, counts = " and ".join(pair), Counter[str]()
        report[name] = {}
        for study, volumes in studies(shared_data()).items():
            if set(pair) <= set(volumes):
                outcomes = [told(volumes, pair, swapped) for swapped in (False, True)]
                counts.update(outcomes)
                report[name][study] = ", ".join(outcomes)
        report[name] |= counts
    print(json.dumps(report, indent=None if options.json else 1))


if __name__ == "__main__":
    main()
