"""Phase ``prepare``: training samples of the corrections, and of what must not be forgotten."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from pipeline.child.task import Report
from pipeline.corrections.record import CaseRecord
from pipeline.evaluation.cases import find_cases
from pipeline.finetune.phases import SAMPLES
from pipeline.finetune.plan import FinetunePlan
from pipeline.finetune.studies import sample_case, sample_of, study_of
from pipeline.names import Region
from pipeline.registry import ModelCard
from pipeline.training.pool import make_sample
from pipeline.training.samples import Sample
from pipeline.training.synthesis.heads import Head, head_paths

#: Samples of each correction: they differ in how the brain is cut out.
PER_CASE: Final = 3
CORRECTION: Final = "case"
REPLAY: Final = "replay"
#: One of so many replayed samples is not learnt from, but chosen by.
_SET_ASIDE: Final = 3


def prepare(plan: FinetunePlan, between: Report) -> None:
    """Write the samples of a fine-tuning; those that are there already stay.

    Parameters
    ----------
    plan
        The fine-tuning.
    between
        Called between two pieces of work with the fraction done; may raise to stop.
    """
    (plan.folder / SAMPLES).mkdir(parents=True, exist_ok=True)
    pieces = list(_pieces(plan))
    for done, piece in enumerate(pieces):
        between(done / len(pieces))
        piece()


def _pieces(plan: FinetunePlan) -> Iterator[Callable[[], None]]:
    for number, identity in enumerate(plan.learn):
        yield lambda number=number, identity=identity: _case(plan, number, identity)  # type: ignore[misc]
    if not plan.policy.replay_share:
        return
    if plan.policy.head_label_maps is not None:
        paths, _ = head_paths(plan.policy.head_label_maps)
        heads: dict[Path, Head] = {}
        for number in range(plan.policy.replay_cases):
            yield lambda number=number: _rendered(plan, paths, heads, number)  # type: ignore[misc]
    elif plan.sample_study.is_dir():
        yield lambda: _sample_study(plan)


def _case(plan: FinetunePlan, number: int, identity: str) -> None:
    targets = [_path(plan, CORRECTION, number * PER_CASE + variant) for variant in range(PER_CASE)]
    if all(path.exists() for path in targets):
        return
    store, model = plan.store(), plan.parent_model()
    record = store.case(identity)
    (case,) = find_cases(store.check(record))
    study = study_of(case, model)
    kept = _not_drawn(record, model.card)
    for variant, path in enumerate(targets):
        _write(path, replace(sample_of(study, model, (plan.seed, number, variant)), kept=kept))


def _not_drawn(case: CaseRecord, card: ModelCard) -> tuple[int, ...]:
    """Outputs of which a case tells nothing new: the brain, and regions that the automatic result completed.

    Where no region was drawn, the result was accepted as it was, or emptied: then all of them count.
    """
    drawn = {name for name, region in case.regions.items() if region.drawn} or set(case.regions)
    channels = {output.region: output.channels for output in card.outputs}
    return tuple(sorted(k for region in Region if region.value not in drawn for k in channels.get(region, ())))


def _rehearsal(sample: Sample) -> Sample:
    """What the network in use says of a sample is what it is to go on saying."""
    return replace(sample, kept=tuple(range(len(sample.regions))))


def _rendered(plan: FinetunePlan, paths: list[Path], heads: dict[Path, Head], number: int) -> None:
    path = _path(plan, REPLAY, number)
    if not path.exists():
        cache = plan.state_folder / "finetune" / "heads"
        spacing = plan.parent_model().card.grid.spacing_mm[0]
        sample = make_sample(paths, False, plan.seed, number, heads, cache, spacing_mm=spacing)
        _write(path, _rehearsal(sample))


def _sample_study(plan: FinetunePlan) -> None:
    """Without label maps the shipped synthetic study is all there is to rehearse."""
    model = plan.parent_model()
    study = study_of(sample_case(plan.sample_study, plan.state_folder / "finetune" / "sample"), model)
    for number in range(PER_CASE):
        _write(_path(plan, REPLAY, number), _rehearsal(sample_of(study, model, (plan.seed, 10_000, number))))


def _path(plan: FinetunePlan, kind: str, number: int) -> Path:
    return plan.folder / SAMPLES / f"{kind}-{number:04d}.npz"


def _write(path: Path, sample: Sample) -> None:
    part = path.with_suffix(".part.npz")
    np.savez(part, images=sample.images, regions=sample.regions, kept=np.array(sample.kept, dtype=np.uint8))
    part.replace(path)


def read_samples(plan: FinetunePlan, kind: str) -> list[Sample]:
    """Return the samples that :func:`prepare` wrote."""
    samples = []
    for path in sorted((plan.folder / SAMPLES).glob(f"{kind}-[0-9][0-9][0-9][0-9].npz")):
        with np.load(path, allow_pickle=False) as data:
            samples.append(Sample(data["images"], data["regions"], tuple(data["kept"].tolist())))
    return samples


def rehearsed(replayed: list[Sample]) -> list[Sample]:
    """The replayed samples that are learnt from."""
    return [sample for number, sample in enumerate(replayed) if (number + 1) % _SET_ASIDE]


def set_aside(replayed: list[Sample]) -> list[Sample]:
    """The other replayed samples: what is decided after learning is decided by them."""
    return [sample for number, sample in enumerate(replayed) if not (number + 1) % _SET_ASIDE]
