"""What other sizes of the network would cost: parameters, file, time and memory on a whole brain, untrained.

Usage: python -m benchmarks.architectures [--runs N] [--json]

Each candidate is exported with random weights and run by onnxruntime on the box around a brain (160 x 192 x 160 mm)
at its own voxel size, in a process of its own.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.environment import ROOT
from pipeline.inference.session import Network

BOX_MM = (160, 192, 160)
CANDIDATES: dict[str, tuple[float, tuple[int, ...]]] = {
    "2 mm, 24-48-96-128": (2.0, (24, 48, 96, 128)),
    "2 mm, 32-64-128-160 (shipped)": (2.0, (32, 64, 128, 160)),
    "2 mm, 48-96-192-256": (2.0, (48, 96, 192, 256)),
    "1.25 mm, 32-64-128-160": (1.25, (32, 64, 128, 160)),
    "1 mm, 32-64-128-160": (1.0, (32, 64, 128, 160)),
}


def child(path: Path, spacing: float, runs: int) -> None:
    size = [int(np.ceil(mm / spacing / 16) * 16) for mm in BOX_MM]
    images = np.random.default_rng(0).standard_normal((1, 4, *size), dtype=np.float32)
    network = Network(path)
    seconds = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        network(images)
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"median_s": round(statistics.median(seconds[1:]), 2), "peak_gib": round(peak, 2)}))


def measure(name: str, runs: int) -> dict[str, object]:
    from pipeline.training.export import export_network  # noqa: PLC0415 - torch, which the child does without
    from pipeline.training.network import HalfResolutionUNet, NetworkShape  # noqa: PLC0415

    spacing, features = CANDIDATES[name]
    network = HalfResolutionUNet(NetworkShape(features=features)).eval()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        export_network(network, 4, path)
        command = [sys.executable, "-m", "benchmarks.architectures", "--child", str(path), str(spacing), str(runs)]
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        return {
            "parameters_m": round(sum(p.numel() for p in network.parameters()) / 1e6, 2),
            "file_mb": round(path.stat().st_size / 1e6, 1),
            **json.loads(done.stdout),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(Path(options.child[0]), float(options.child[1]), int(options.child[2]))
        return
    results = {}
    for name in CANDIDATES:
        results[name] = measure(name, options.runs)
        print(f"{name}: {results[name]}", file=sys.stderr if options.json else sys.stdout, flush=True)
    if options.json:
        print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
