"""On what the network runs: CUDA where onnxruntime-gpu is installed, every core otherwise; and whether that was meant.

``onnxruntime`` and ``onnxruntime-gpu`` are two distributions of one package: installed together, the files of one lie
over those of the other, and CUDA is gone without a word.
"""

from importlib.metadata import PackageNotFoundError, version
from typing import Final

import onnxruntime as ort

_CUDA: Final = "CUDAExecutionProvider"
_CPU: Final = "CPUExecutionProvider"


def wanted_providers() -> list[str]:
    """Execution providers to ask for, the best first."""
    return [one for one in (_CUDA, _CPU) if one in ort.get_available_providers()]


def fallback(provider: str | None = None) -> str:
    """Tell why CUDA is not used although onnxruntime-gpu is installed; empty where all is as it was meant.

    Parameters
    ----------
    provider
        The execution provider of a session; None judges by what onnxruntime offers.
    """
    if not _installed("onnxruntime-gpu"):
        return ""
    if _installed("onnxruntime"):
        return "onnxruntime and onnxruntime-gpu are both installed; uninstall both, then install one"
    if _CUDA not in ort.get_available_providers():
        return "onnxruntime-gpu is installed and offers no CUDA"
    if provider not in (None, _CUDA):
        return "CUDA could not be started; see docs/deployment.md for the libraries it needs"
    return ""


def _installed(distribution: str) -> bool:
    try:
        return bool(version(distribution))
    except PackageNotFoundError:
        return False
