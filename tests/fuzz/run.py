"""Fuzz at length: python -m tests.fuzz.run [--structure-sets N] [--images N] [--seed FIRST]."""

import argparse
import sys
import warnings

from tests.fuzz.targets import Outcome, fuzz_images, fuzz_structure_sets


def show(title: str, number: int, outcome: Outcome) -> None:
    print(f"{title}: {number} files, {len(outcome.crashes)} crashes, slowest {outcome.slowest_s:.2f} s,", end=" ")
    print(f"memory grew by {outcome.grown_mib:.0f} MiB")
    for name, count in outcome.counts.most_common():
        print(f"  {name:28}{count}")
    for seed, text in outcome.crashes[:20]:
        print(f"  crash at seed {seed}: {text}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--structure-sets", type=int, default=10_000)
    parser.add_argument("--images", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    crashed = 0
    for title, fuzz, number in (
        ("structure sets", fuzz_structure_sets, arguments.structure_sets),
        ("MR instances", fuzz_images, arguments.images),
    ):
        outcome = fuzz(range(arguments.seed, arguments.seed + number))
        show(title, number, outcome)
        crashed += len(outcome.crashes)
    return 1 if crashed else 0


if __name__ == "__main__":
    sys.exit(main())
