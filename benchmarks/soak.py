"""A node for an hour: do its memory and its file handles stay flat?

python -m benchmarks.soak --minutes 60 --out DIR

Small studies arrive by C-STORE at a gentle pace, every tenth a second time; each is segmented (a network of
one convolution, so that the work around it is what is measured), stored, and forwarded to a workstation. A
dashboard and a monitoring system are imitated by the requests they make. Writes soak.csv and soak.png; ends
with 0 where everything stayed flat and every study has exactly one result.
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environment import skip
from benchmarks.sampling import Poller, Sample, Sampler, read_samples, wait_until_empty
from benchmarks.studies import SMALL, copied, resampled
from pipeline.node import LOOPBACK
from pipeline.node.demo.sender import send_study, study_in_folder
from tests.faults import network
from tests.orthanc.conftest import SCANNER, STABLE_AGE, Pair, make_pair

#: What a dashboard that shows the worklist, and a monitoring system, ask for; seconds between.
POLLS = {"/glioloop/jobs?limit=100": 4.0, "/glioloop/health": 5.0, "/glioloop/metrics": 15.0}
#: Orthanc keeps the files it read last in memory, 128 MB by default: an hour of small studies would fill it all along.
_CACHE_MB = 16
_RESEND_EVERY = 10
_MOST_GROWTH = 0.05
#: A connection more at the moment of a sample is no leak; one a study or a request would be hundreds.
_SPARE_HANDLES = 5
_PATIENCE_SECONDS = 1800
_MEASURED = {
    "orthanc_mb": "Orthanc, resident MB",
    "worker_mb": "worker and its children, resident MB",
    "orthanc_files": "Orthanc, file handles",
    "worker_files": "worker and its children, file handles",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, help="60 for the figures in docs/load.md")
    parser.add_argument("--warm-up", type=float, default=15, help="minutes that do not count")
    parser.add_argument("--every", type=float, default=25, help="seconds from one study to the next")
    parser.add_argument("--out", type=Path, default=Path("build/soak"))
    parser.add_argument("--samples", type=Path, help="judge the soak.csv of an earlier run again, and run nothing")
    parser.add_argument("--json", action="store_true", help="the only form there is")
    arguments = parser.parse_args()
    if arguments.minutes is None and arguments.samples is None:
        skip("takes an hour: python -m benchmarks.soak --minutes 60")
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.samples:
        report: dict[str, Any] = {"samples of": str(arguments.samples)}
        samples = read_samples(arguments.samples)
    else:
        # a worker that ends late may write there
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            report, samples = _run(Path(folder), arguments)
    report["warm-up minutes"] = arguments.warm_up
    report["measured"] = {name: _growth(samples, name, 60 * arguments.warm_up) for name in _MEASURED}
    report["flat"] = all(_flat(name, one) for name, one in report["measured"].items())
    _plot(samples, arguments.warm_up, arguments.out / "soak.png")
    (arguments.out / "soak.json").write_text(json.dumps(report, indent=1))
    print(json.dumps(report, indent=1))
    sys.exit(0 if report["flat"] and report.get("every study has one result", True) else 1)


def _run(folder: Path, arguments: argparse.Namespace) -> tuple[dict[str, Any], list[Sample]]:
    network.install(folder / "models", "1.0.0", network.small())
    pair = make_pair(folder / "site", ModelsFolder=str(folder / "models"), Model=f"{network.NAME}@1.0.0")
    _limit_cache(pair)
    template = resampled(folder / "template", SMALL)
    with pair.workstation, pair.node:
        pair.wait_ready(300)
        sampler, poller = Sampler(pair.node, arguments.out / "soak.csv", 10), Poller(pair.node, POLLS)
        sampler.start()
        poller.start()
        sent = _feed(pair, template, folder, 60 * arguments.minutes, arguments.every)
        samples = sampler.stop()
        poller.stop()
        time.sleep(2 * STABLE_AGE)  # the last stable event
        empty = wait_until_empty(pair.node, _PATIENCE_SECONDS)
        jobs = pair.get("/glioloop/jobs?limit=2000")
    done = Counter(job["study_instance_uid"] for job in jobs if job["state"] == "done")
    return {
        "minutes": arguments.minutes,
        "studies": len(sent),
        "every study has one result": empty and len(jobs) == len(sent) and all(done[study] == 1 for study in sent),
        "most jobs in the queue": max(one.waiting for one in samples),
        "requests": poller.asked,
        "requests failed": poller.failures,
        "slowest answer, ms": poller.slowest_ms,
    }, samples


def _limit_cache(pair: Pair) -> None:
    file = pair.node.configuration.folder / "orthanc.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"MaximumStorageCacheSize": _CACHE_MB}))


def _feed(pair: Pair, template: Path, folder: Path, seconds: float, every: float) -> list[str]:
    """Send studies until the time is over and the last is done; return their StudyInstanceUIDs."""
    sent: list[str] = []
    start = time.monotonic()
    while time.monotonic() - start < seconds:
        study = copied(template, folder / "study", f"SOAK-{len(sent)}")
        files = study_in_folder(study)
        for _ in range(2 if len(sent) % _RESEND_EVERY == 0 else 1):
            node = pair.node.configuration
            send_study(files, LOOPBACK, node.dicom_port, calling_aet=SCANNER, called_aet=node.aet)
        sent.append(files[0].study_instance_uid)
        shutil.rmtree(study)
        time.sleep(max(0.0, start + every * len(sent) - time.monotonic()))
    return sent


def _growth(samples: list[Sample], name: str, warm_up: float) -> dict[str, float]:
    """Compare the first and the last sixth of what follows the warm-up; fit a line through all of it."""
    counted = [one for one in samples if one.seconds >= warm_up]
    values = [float(getattr(one, name)) for one in counted]
    window = max(1, len(values) // 6)
    first, last = statistics.median(values[:window]), statistics.median(values[-window:])
    slope, _ = np.polyfit([one.seconds / 3600 for one in counted], values, 1)
    return {
        "after warm-up": round(first, 1),
        "at the end": round(last, 1),
        "growth": round(last / first - 1, 4),
        "slope per hour": round(float(slope), 2),
        "highest": max(values),
    }


def _flat(name: str, measured: dict[str, float]) -> bool:
    spare = _SPARE_HANDLES if name.endswith("files") else 0
    return measured["at the end"] - measured["after warm-up"] <= max(spare, _MOST_GROWTH * measured["after warm-up"])


def _plot(samples: list[Sample], warm_up: float, file: Path) -> None:
    from matplotlib.figure import Figure  # noqa: PLC0415 - no display is at hand

    minutes = [one.seconds / 60 for one in samples]
    figure = Figure(figsize=(9, 6), layout="constrained")
    for place, unit in enumerate(("MB", "handles")):
        axes = figure.add_subplot(2, 1, place + 1)
        for name, label in _MEASURED.items():
            if label.endswith(unit):
                axes.plot(minutes, [getattr(one, name) for one in samples], label=label.partition(",")[0], lw=1)
        axes.axvspan(0, warm_up, color="0.92", label="warm-up")
        axes.set(ylabel={"MB": "resident memory, MB", "handles": "open file handles"}[unit], ylim=(0, None))
        axes.set(xlabel="minutes", xlim=(0, None))
        axes.legend(loc="lower right")
    figure.savefig(file, dpi=110)


if __name__ == "__main__":
    main()
