"""The registry: what is in use, the way back, and what is refused."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.audit import AuditTrail
from pipeline.database.engine import database_in
from pipeline.errors import GlioLoopError
from pipeline.registry import CARD, Registry

CONTENT = b"not looked into by the registry"


def card(version: str, **changes: Any) -> dict[str, Any]:
    return {
        "name": "net",
        "version": version,
        "created": "2026-01-01",
        "description": "for tests",
        "architecture": "none",
        "licence": "CC0-1.0",
        "opset": 17,
        "file": {"name": "model.onnx", "sha256": hashlib.sha256(CONTENT).hexdigest()},
        "grid": {"order": ["t1", "t1c", "t2", "flair"], "spacing_mm": [2, 2, 2], "window": [64, 64, 64]},
        "outputs": [{"region": region, "channels": [n]} for n, region in enumerate(["WT", "TC", "ET"])],
    } | changes


def install(root: Path, content: dict[str, Any]) -> Path:
    folder = root / content["name"] / content["version"]
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(CONTENT)
    (folder / CARD).write_text(json.dumps(content))
    return folder


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    for version in ("0.2.0", "0.10.0"):
        install(tmp_path / "shipped", card(version))
    return Registry(tmp_path / "shipped", tmp_path / "state", database_in(tmp_path / "state"))


def test_newest_shipped_is_in_use_until_one_is_promoted(registry: Registry, tmp_path: Path) -> None:
    assert registry.get(None).card.identity == "net@0.10.0"
    assert registry.promote("net@0.2.0").card.identity == "net@0.2.0"
    assert registry.get(None).card.identity == "net@0.2.0"
    other = Registry(tmp_path / "shipped", tmp_path / "state", database_in(tmp_path / "state"))
    assert other.get(None).card.identity == "net@0.2.0"
    assert registry.rollback().card.identity == "net@0.10.0"
    with pytest.raises(GlioLoopError, match="MODEL_UNKNOWN"):
        registry.rollback()


def test_promotions_are_on_record(registry: Registry, tmp_path: Path) -> None:
    registry.promote("net@0.2.0", "Roe")
    registry.promote("net@0.10.0", "Doe")
    registry.rollback("Poe")
    trail = AuditTrail(database_in(tmp_path / "state"))
    found = [(one.event, one.subject, one.who, one.data.get("rollback", False)) for one in trail.entries()]
    assert found == [
        ("promoted", "net@0.2.0", "Roe", False),
        ("promoted", "net@0.10.0", "Doe", False),
        ("promoted", "net@0.2.0", "Poe", True),
    ]
    assert trail.verify() == []


def test_a_name_takes_its_newest_version(registry: Registry) -> None:
    assert registry.get("net").card.version == "0.10.0"
    with pytest.raises(GlioLoopError, match="MODEL_UNKNOWN"):
        registry.get("net@9")


def test_imported_model_is_not_in_use_by_itself(registry: Registry, tmp_path: Path) -> None:
    source = install(tmp_path / "elsewhere", card("1.0.0"))
    assert registry.import_model(source).card.identity == "net@1.0.0"
    assert registry.get(None).card.identity == "net@0.10.0"
    with pytest.raises(GlioLoopError, match="MODEL_INVALID"):
        registry.import_model(source)


def test_damaged_file_is_refused(registry: Registry) -> None:
    model = registry.get("net@0.2.0")
    path = model.path(model.card.file)
    path.write_bytes(CONTENT + b"!")
    with pytest.raises(GlioLoopError, match="MODEL_DAMAGED"):
        model.path(model.card.file)
    with pytest.raises(GlioLoopError, match="MODEL_DAMAGED"):
        registry.promote("net@0.2.0")
    path.unlink()
    with pytest.raises(GlioLoopError, match="MODEL_DAMAGED"):
        model.path(model.card.file)


@pytest.mark.parametrize(
    "changes",
    [
        {"surprise": 1},
        {"name": "../net"},
        {"file": {"name": "../model.onnx", "sha256": "0" * 64}},
        {"outputs": [{"region": "WT", "channels": [0]}]},
        {"grid": {"order": ["t1", "t1"], "spacing_mm": [1, 1, 1], "window": [64, 64, 64]}},
    ],
)
def test_wrong_cards_are_refused(registry: Registry, tmp_path: Path, changes: dict[str, Any]) -> None:
    folder = tmp_path / "wrong"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(CONTENT)
    (folder / CARD).write_text(json.dumps(card("1.0.0", **changes)))
    with pytest.raises(GlioLoopError, match="MODEL_INVALID"):
        registry.import_model(folder)
