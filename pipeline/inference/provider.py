"""On what networks run: CUDA where onnxruntime-gpu is installed, else the processor; and whether that was meant.

``onnxruntime`` and ``onnxruntime-gpu`` are two distributions of one package: installed together, the files of one lie
over those of the other, and CUDA is gone without a word.
"""

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Final

import onnxruntime as ort

from pipeline.names import Provider

#: onnxruntime's names of what it runs on.
EXECUTION: Final = {Provider.CUDA: "CUDAExecutionProvider", Provider.CPU: "CPUExecutionProvider"}


def candidates(wanted: Provider) -> tuple[Provider, ...]:
    """What may be used of what is there; of more than one the faster is taken.

    Parameters
    ----------
    wanted
        What the site asked for. Where it lacks, the processor does the work: :func:`fallback` tells.
    """
    there = [one for one in (Provider.CUDA, Provider.OPENVINO, Provider.CPU) if _is_there(one)]
    if wanted in there:
        return (wanted,)
    return (Provider.CUDA,) if Provider.CUDA in there else tuple(there)


def _is_there(provider: Provider) -> bool:
    if provider is Provider.OPENVINO:
        return find_spec("openvino") is not None
    return EXECUTION[provider] in ort.get_available_providers()


def fallback(wanted: Provider = Provider.AUTO, used: Provider | None = None) -> str:
    """Tell why something else is used than was meant; empty where all is as it was meant.

    CUDA is meant where it is asked for, and where onnxruntime-gpu is installed and nothing is asked for.

    Parameters
    ----------
    wanted
        What the site asked for.
    used
        What a network runs on; None judges by what is installed.
    """
    match wanted:
        case Provider.CPU:
            return ""
        case Provider.OPENVINO:
            return "" if used is Provider.OPENVINO else _lacks_openvino(used)
        case Provider.AUTO if not _installed("onnxruntime-gpu"):
            return ""
        case _:
            return _lacks_cuda(used)


def _lacks_openvino(used: Provider | None) -> str:
    if not _is_there(Provider.OPENVINO):
        return "openvino is not installed"
    return "" if used is None else "openvino cannot run this network"


def _lacks_cuda(used: Provider | None) -> str:
    if not _installed("onnxruntime-gpu"):
        return "onnxruntime-gpu is not installed"
    if _installed("onnxruntime"):
        return "onnxruntime and onnxruntime-gpu are both installed; uninstall both, then install one"
    if not _is_there(Provider.CUDA):
        return "onnxruntime-gpu is installed and offers no CUDA"
    if used not in (None, Provider.CUDA):
        return "CUDA could not be started; see docs/deployment.md for the libraries it needs"
    return ""


def _installed(distribution: str) -> bool:
    try:
        return bool(version(distribution))
    except PackageNotFoundError:
        return False
