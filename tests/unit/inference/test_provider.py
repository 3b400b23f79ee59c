"""A graphics card that was meant to be used and is not is told, at the worker's start and with the result."""

from pathlib import Path

import pytest

from pipeline.inference.provider import fallback


def _install(folder: Path, *names: str) -> None:
    """Metadata of distributions, as pip leaves them."""
    for name in names:
        made = folder / f"{name.replace('-', '_')}-1.22.0.dist-info"
        made.mkdir()
        (made / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.22.0\n")


def test_processor_only_is_as_meant() -> None:
    assert fallback() == fallback("CPUExecutionProvider") == ""


def test_both_distributions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _install(tmp_path, "onnxruntime-gpu")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "both installed" in fallback()
    assert "both installed" in fallback("CPUExecutionProvider")
