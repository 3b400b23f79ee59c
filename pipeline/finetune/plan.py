"""What one fine-tuning learns from, is judged by, and becomes; written once, so that a restart changes nothing."""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Engine

from pipeline.corrections.record import CaseRecord
from pipeline.corrections.store import CorrectionStore
from pipeline.database.engine import database_of
from pipeline.errors import GlioLoopError
from pipeline.evaluation.cases import ENDINGS, find_cases
from pipeline.finetune.schedule import usable
from pipeline.registry import InstalledModel, ModelCard, Registry
from pipeline.settings import load_settings
from pipeline.settings.finetune import FinetunePolicy

PLAN: Final = "plan.json"
_VERSION = re.compile(r"^(?P<base>.+?)-ft\.(?P<number>\d+)$")


class FinetunePlan(BaseModel):
    """``plan.json`` in a fine-tuning's folder.

    Attributes
    ----------
    id
        The fine-tuning.
    parent, version
        ``name@version`` it starts from; version of what it makes.
    learn, held_back
        Ids of cases in the store.
    policy
        The settings at its start.
    feedback_folder, models_folder, state_folder
        Where things lie.
    sample_study, reference_set
        The shipped study, rehearsed where there is nothing better; the cases that every candidate is judged by.
    seed
        Decides samples and their order.
    database_url
        A file of SQLite; empty: as configured, since no password belongs here.
    niceness
        How far the learning process steps back from others on the machine; 19 is furthest.
    """

    model_config = ConfigDict(extra="forbid")

    id: str
    parent: str
    version: str
    learn: tuple[str, ...]
    held_back: tuple[str, ...]
    policy: FinetunePolicy
    feedback_folder: Path
    models_folder: Path
    state_folder: Path
    sample_study: Path
    reference_set: Path
    seed: int
    niceness: int = 19
    database_url: str = ""

    def database(self) -> Engine:
        """The node's database."""
        settings = load_settings()
        named = {"database_url": self.database_url, "state_folder": self.state_folder} if self.database_url else {}
        return database_of(settings.model_copy(update=named))

    def registry(self) -> Registry:
        """The registry that holds the parent."""
        return Registry(self.models_folder, self.state_folder, self.database())

    def store(self) -> CorrectionStore:
        """The store that holds the cases."""
        return CorrectionStore(self.feedback_folder, self.database())

    def require_cases(self) -> None:
        """Refuse to go on with what was taken back: nothing that was deleted on purpose is learnt or judged by.

        Raises
        ------
        GlioLoopError
            CORRECTION_WITHDRAWN.
        """
        withdrawn = self.store().withdrawn([*self.learn, *self.held_back])
        if withdrawn:
            raise GlioLoopError("CORRECTION_WITHDRAWN", ", ".join(withdrawn))

    def parent_model(self) -> InstalledModel:
        """The network that it starts from."""
        return self.registry().get(self.parent)

    @property
    def folder(self) -> Path:
        """Working files."""
        return self.state_folder / "finetune" / self.id

    @property
    def candidate_folder(self) -> Path:
        """The network that it makes, before it is registered."""
        return self.folder / "model"

    def write(self) -> None:
        """Write it to its folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.folder / f"{PLAN}.part"
        part.write_text(self.model_dump_json(indent=1))
        part.rename(self.folder / PLAN)

    @staticmethod
    def read(folder: Path) -> "FinetunePlan":
        """Read what :meth:`write` wrote."""
        return FinetunePlan.model_validate_json((folder / PLAN).read_text())


def make_plan(
    identity: str, parent: InstalledModel, policy: FinetunePolicy, store: CorrectionStore, registry: Registry,
    models_folder: Path, state_folder: Path, shipped: Path, database_url: str = "",
) -> FinetunePlan:  # fmt: skip
    """Choose what to learn from and what to judge by.

    Raises
    ------
    GlioLoopError
        NOTHING_TO_LEARN where no correction may be learnt from; STUDY_EMPTY where the reference set holds no case.

    Notes
    -----
    Neither the order of the cases nor the seed depends on when or under which UIDs the corrections came: the same
    corrections teach the same network the same, and nobody can ask again until chance passes the guard.
    """
    cases = sorted(usable(policy, store), key=_content)
    learn = tuple(case.id for case in cases if case.role == "learn")
    if not any(case.kind == "corrected" for case in cases if case.role == "learn"):
        raise GlioLoopError("NOTHING_TO_LEARN", f"{len(cases)} usable cases, none of them a correction to learn from")
    reference_set = policy.reference_set or shipped / "reference"
    find_cases(reference_set)
    return FinetunePlan(
        id=identity,
        parent=parent.card.identity,
        version=reserve_version(state_folder, identity, parent.card, _versions(registry, parent.card.name)),
        learn=learn,
        held_back=tuple(case.id for case in cases if case.role == "held_back"),
        policy=policy,
        feedback_folder=store.folder,
        models_folder=models_folder,
        state_folder=state_folder,
        database_url=database_url if database_url.startswith("sqlite:") else "",
        sample_study=shipped / "synthetic-study",
        reference_set=reference_set,
        seed=_seed(parent, [case for case in cases if case.role == "learn"]),
    )


def _content(case: CaseRecord) -> list[str]:
    """Digests of a case's images and masks, what is learnt from it; the names begin with its id."""
    return [digest for name, digest in sorted(case.files.items()) if name.endswith(ENDINGS)]


def _seed(parent: InstalledModel, learn: Iterable[CaseRecord]) -> int:
    told = [parent.card.sha256, *(digest for case in learn for digest in _content(case))]
    return int(hashlib.sha256(" ".join(told).encode()).hexdigest()[:8], 16)


def _versions(registry: Registry, name: str) -> list[str]:
    return [model.card.version for model in registry.installed() if model.card.name == name]


def reserve_version(state_folder: Path, identity: str, parent: ModelCard, taken: list[str]) -> str:
    """Choose a version that no other fine-tuning makes: two that run side by side would both take the next number.

    Parameters
    ----------
    state_folder
        Where the reservation is noted, for good.
    identity
        The fine-tuning; planned again, it gets its version again.
    parent
        The network that it starts from.
    taken
        Versions that are installed.
    """
    folder = state_folder / "finetune" / "versions"
    folder.mkdir(parents=True, exist_ok=True)
    taken = list(taken)
    while True:
        version = next_version(parent.version, taken)
        path = folder / f"{parent.name}@{version}"
        try:
            with path.open("x") as file:
                file.write(identity)
            return version
        except FileExistsError:
            if path.read_text() == identity:
                return version
            taken.append(version)


def next_version(parent: str, taken: list[str]) -> str:
    """Return the version of a network fine-tuned from ``parent``: its base with ``-ft.`` and the next number."""
    found = _VERSION.match(parent)
    base = found["base"] if found else parent
    numbers = [int(one["number"]) for version in taken if (one := _VERSION.match(version)) and one["base"] == base]
    return f"{base}-ft.{max(numbers, default=0) + 1}"
