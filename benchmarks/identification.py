"""Identification: the confusion table over a table of headers and over real series.

Headers are those of tests/unit/identify/identify_table.toml, as scanners of five makers write them in six languages,
study by
study, with what each series is. Real series are every series of the shared data, one by one (most are excerpts of a few
slices, so how many there are plays no part); what each is was read from its header by eye, and from the folder of the
clinical study. Of many the descriptions are removed.
"""

import argparse
import json
from collections import Counter
from pathlib import Path

from benchmarks.environment import shared_data
from pipeline.errors import GlioLoopError
from pipeline.identify import SeriesHeader, SeriesVerdict, headers_from_files, identify
from pipeline.settings.identification import IdentificationRules
from tests.unit.identify.headers import TABLE, headers_of

CLASSES = ("t1", "t1c", "t2", "flair", "excluded", "undecided")
Pairs = Counter[tuple[str, str]]

REAL = {
    "dicom/failing/slicecount": "flair",
    "dicom/failing/sliceorientation": "t2",
    "dicom/ge/anatomical": "t1",
    "dicom/generic/anatomical/001": "flair",
    "dicom/generic/compressed": "flair",
    "dicom/hitachi/anatomical": "undecided",  # proton density: none of the four
    "dicom/hyperfine/anatomical": "flair",
    "dicom/philips/anatomical": "flair",
    "dicom/philips_enhanced/anatomical": "t1",
    "dicom/siemens/anatomical": "flair",
    "dicom/siemens_enhanced": "t1",
    "tcga-fg-6692/dicom/flair": "flair",
    "tcga-fg-6692/dicom/t1": "t1",
    "tcga-fg-6692/dicom/t1c": "t1c",
    "tcga-fg-6692/dicom/t2": "t2",
}


def found_class(verdict: SeriesVerdict) -> str:
    """What the series was taken for."""
    if verdict.verdict == "excluded":
        return "excluded"
    return "undecided" if verdict.sequence is None else verdict.sequence.value


def over_headers() -> Pairs:
    """True and found class of every series of the table."""
    pairs: Pairs = Counter()
    for study in TABLE:
        headers = headers_of(study)
        verdicts = {verdict.series_instance_uid: verdict for verdict in identify(headers).verdicts}
        for header, row in zip(headers, study["series"], strict=True):
            kind, _, sequence = row["expect"].partition(" ")
            true = {"excluded": "excluded", "unmatched": "undecided"}.get(kind, sequence)
            pairs[true, found_class(verdicts[header.series_instance_uid])] += 1
    return pairs


def over_real_series(shared: Path) -> tuple[Pairs, list[str]]:
    """The same for real series, what is not in :data:`REAL` being none of the four; and which were wrong."""
    pairs: Pairs = Counter()
    wrong = []
    rules = IdentificationRules(minimum_slices=1, minimum_coverage_mm=0)
    folders = {
        file.parent for part in ("dicom", "tcga-fg-6692/dicom", "rtstruct") for file in (shared / part).rglob("*")
    }
    for folder in sorted(folders):
        for header in headers_from_files(path for path in folder.iterdir() if path.is_file())[0]:
            name = folder.relative_to(shared).as_posix()
            true = next((label for start, label in REAL.items() if _below(name, start)), "excluded")
            found = _alone(header, rules)
            pairs[true, found] += 1
            if found != true:
                wrong.append(f"{name}: {true}, taken for {found}")
    return pairs, wrong


def _below(name: str, start: str) -> bool:
    return name == start or name.startswith((f"{start}/", f"{start}_"))


def _alone(header: SeriesHeader, rules: IdentificationRules) -> str:
    try:
        return found_class(identify([header], rules).verdicts[0])
    except GlioLoopError:  # a study with nothing else in it holds no images, or none of MR
        return "excluded"


def as_table(pairs: Pairs) -> str:
    """Rows are what a series is, columns what it was taken for."""
    lines = ["| is \\ taken for | " + " | ".join(CLASSES) + " |", "| --- |" + " ---: |" * len(CLASSES)]
    for true in CLASSES:
        lines.append(f"| **{true}** | " + " | ".join(str(pairs[true, found]) for found in CLASSES) + " |")
    return "\n".join(lines)


def as_json(pairs: Pairs) -> dict[str, object]:
    right = sum(count for (true, found), count in pairs.items() if true == found)
    table = {true: {found: pairs[true, found] for found in CLASSES if pairs[true, found]} for true in CLASSES}
    return {"series": pairs.total(), "right": right, "table": table}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    headers, (real, wrong) = over_headers(), over_real_series(shared_data())
    if options.json:
        print(json.dumps({"headers": as_json(headers), "real series": as_json(real), "wrong": wrong}))
        return
    for title, pairs in (("headers", headers), ("real series", real)):
        right = sum(count for (true, found), count in pairs.items() if true == found)
        print(f"{right} of {pairs.total()} {title}\n\n{as_table(pairs)}\n")
    print("\n".join(wrong))


if __name__ == "__main__":
    main()
