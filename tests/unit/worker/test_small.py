"""A worker records and computes nothing: what computes is not even imported there."""

import subprocess
import sys

from pipeline.settings import ROOT

_PROGRAM = """
import sys
import pipeline.jobs.workflows
import pipeline.worker.process
print({"SimpleITK", "onnxruntime", "scipy", "skimage", "highdicom", "torch"} & sys.modules.keys() or "nothing")
"""


def test_a_worker_imports_nothing_that_computes() -> None:
    ran = subprocess.run([sys.executable, "-c", _PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "nothing"
