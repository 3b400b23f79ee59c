"""C-STORE ingest of the same Orthanc with and without the plugin, by turns in the same run.

python -m benchmarks.ingest --rounds 10 --images 480

Many small images, sent by DCMTK's storescu, which leaves the most of the time to Orthanc. Studies become stable
only after the run: what is measured is taking images in, not segmenting them.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.studies import SMALL, copied, resampled
from pipeline.node import LOOPBACK, Modality, OrthancProcess, free_port, write_configuration
from tests.orthanc.conftest import SCANNER, wait_for

_LATER_SECONDS = 3600


def _orthanc(folder: Path, plugin: bool) -> OrthancProcess:
    configuration = write_configuration(
        folder,
        http_port=free_port(),
        dicom_port=free_port(),
        modalities={"scanner": Modality(SCANNER, free_port())},
        settings={"ReadyAfterSeconds": _LATER_SECONDS},
        overrides={"StableAge": _LATER_SECONDS},
    )
    if not plugin:
        file = configuration.folder / "orthanc.json"
        content = json.loads(file.read_text())
        del content["PythonScript"], content["GlioLoop"]
        content["Plugins"] = [one for one in content["Plugins"] if "Python" not in one]
        file.write_text(json.dumps(content))
    return OrthancProcess(configuration)


def _rate(orthanc: OrthancProcess, images: Path, count: int) -> float:
    """Images a second over one association."""
    to = orthanc.configuration
    command = ["storescu", "-aet", SCANNER, "-aec", to.aet, "+sd", "+r", LOOPBACK, str(to.dicom_port), str(images)]
    before = _stored(orthanc)
    start = time.perf_counter()
    # Without this, DCMTK waits 40 ms for an acknowledgement of each image.
    subprocess.run(command, check=True, capture_output=True, env=os.environ | {"TCP_NODELAY": "1"})
    seconds = time.perf_counter() - start
    if _stored(orthanc) - before != count:
        raise RuntimeError("not every image was stored")
    return count / seconds


def _processor_seconds(orthanc: OrthancProcess) -> float:
    """User and system time of Orthanc and its plugin so far."""
    fields = Path(f"/proc/{orthanc.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _stored(orthanc: OrthancProcess) -> int:
    with orthanc.client() as client:
        return int(client.get("/statistics").json()["CountInstances"])


def _ready(node: OrthancProcess) -> None:
    """Wait until the worker runs: its imports would compete with the first rounds."""
    with node.client() as client:
        wait_for(lambda: client.get("/glioloop/health").status_code == 200, 300, "the worker")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--images", type=int, default=480, help="a round, rounded to whole studies")
    parser.add_argument("--json", action="store_true", help="the only form there is")
    arguments = parser.parse_args()
    rates: dict[str, list[float]] = {"with": [], "without": []}
    processor = dict.fromkeys(rates, 0.0)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        template = resampled(folder / "template", SMALL)
        size = sum(1 for path in template.rglob("*.dcm"))
        studies = max(1, round(arguments.images / size))
        running = {one: stack.enter_context(_orthanc(folder / one, one == "with")) for one in rates}
        _ready(running["with"])
        for number in range(arguments.rounds + 1):
            images = folder / f"round-{number}"
            for study in range(studies):
                copied(template, images / str(study), f"{number}-{study}")
            # Each goes first as often as the other, and both get the same files.
            for one in sorted(running, reverse=number % 2 == 0):
                before = _processor_seconds(running[one])
                rate = _rate(running[one], images, studies * size)
                if number:  # the first round warms up
                    rates[one].append(round(rate, 1))
                    processor[one] += _processor_seconds(running[one]) - before
    medians = {one: round(statistics.median(values), 1) for one, values in rates.items()}
    ratio = statistics.median(a / b for a, b in zip(rates["with"], rates["without"], strict=True))
    print(
        json.dumps(
            {
                "images a round": studies * size,
                "images a second": rates,
                "median": medians,
                "processor ms an image": {
                    one: round(1000 * seconds / (arguments.rounds * studies * size), 3)
                    for one, seconds in processor.items()
                },
                "ratio of medians": round(medians["with"] / medians["without"], 3),
                "median of the rounds' ratios": round(ratio, 3),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
