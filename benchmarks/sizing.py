"""How many workers a site needs: studies arrive at random, each worker takes one at a time.

python -m benchmarks.sizing [--seconds 11.8]

A simulation of the queue, not of the node: waiting times follow from how long a study takes one worker, which
`python -m benchmarks.throughput` measures on the machine that is meant. Checked against what is known of such a queue
(unit tests).
"""

import argparse
import heapq
import json
import random
from statistics import median

#: Of a sample study without Prefetch on two cores (docs/benchmarks.md).
_SECONDS = 11.8
_RATES = (10, 30, 100, 300, 1000)
_WORKERS = (1, 2, 4, 8)
_STUDIES = 20_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=_SECONDS, help="that one worker takes for a study")
    parser.add_argument("--json", action="store_true", help="the only form there is")
    arguments = parser.parse_args()
    table = {
        f"{rate} an hour": {f"{workers} workers": _cell(rate, workers, arguments.seconds) for workers in _WORKERS}
        for rate in _RATES
    }
    print(json.dumps({"seconds a study": arguments.seconds, "from ready to done, s": table}, indent=1))


def _cell(rate: float, workers: int, seconds: float) -> dict[str, float] | str:
    if rate * seconds >= 3600 * workers:
        return "never done"
    times = sorted(times_in_system(rate, workers, seconds, _STUDIES, random.Random(1)))
    return {"median": round(median(times), 1), "95 %": round(times[int(0.95 * len(times))], 1)}


def times_in_system(rate: float, workers: int, seconds: float, studies: int, chance: random.Random) -> list[float]:
    """Return how long each study takes from its arrival to its end, seconds.

    Parameters
    ----------
    rate
        Studies an hour, which arrive independently of each other.
    workers, seconds
        How many there are, and how long a study takes one of them.
    studies
        How many arrive.
    """
    free = [0.0] * workers
    now, times = 0.0, []
    for _ in range(studies):
        now += chance.expovariate(rate / 3600)
        end = max(now, heapq.heappop(free)) + seconds
        heapq.heappush(free, end)
        times.append(end - now)
    return times


if __name__ == "__main__":
    main()
