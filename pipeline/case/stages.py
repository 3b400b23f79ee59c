"""The stages of a case, each from the files of the one before to its own; no server and no queue here.

``segment`` (the command) and the durable job run the same functions; the job adds where the DICOM
files come from and where the objects go.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import fields
from datetime import datetime
from functools import cache
from io import BytesIO

import pydicom
import SimpleITK as sitk

from pipeline import __version__
from pipeline.align import align
from pipeline.case.loaded import LoadedSeries
from pipeline.case.outcomes import (
    Aligned,
    AlignmentOutcome,
    Inferred,
    Loaded,
    ObjectOutcome,
    RestoredVolumes,
    RoiOutcome,
    SizeOutcome,
    VolumeOutcome,
    Written,
    told,
)
from pipeline.case.workspace import Workspace
from pipeline.confirm import Fetch, choose_repeats, contradiction, look_at_slices, readable, require_anatomy, settle
from pipeline.database.engine import database_of
from pipeline.database.installation import installation_id
from pipeline.errors import Flag, GlioLoopError
from pipeline.errors.records import FlagRecord
from pipeline.identify import Decision, SeriesPart
from pipeline.inference import delineate
from pipeline.inference.provider import fallback
from pipeline.inference.suspicion import Look, largest, suspicious_signal
from pipeline.names import MRSequence, Provider, Region
from pipeline.objects import ObjectSet, Provenance, build_objects
from pipeline.objects.source import repaired_attributes, require_references
from pipeline.registry import InstalledModel, ModelCard
from pipeline.restore import Restored, cleaning, restore_case
from pipeline.settings import Settings
from pipeline.volume import SourceVolume, read_series
from pipeline.volume.limits import VolumeLimits

Progress = Callable[[float], None]

#: Begins the names of the images in the workspace that a look apart from the network needs.
_LOOK = "look"


def load_stage(
    case: Workspace,
    decision: Decision,
    most_bytes: int,
    progress: Progress,
    reference: MRSequence | None = None,
    fetch: Fetch | None = None,
    fine: bool = False,
) -> Loaded:
    """Read the chosen series, or the chosen parts of them, as volumes.

    ``fetch`` puts the files of a series into the workspace; without it, those of the chosen ones lie there already.
    Where a chosen series is damaged, the next candidate is fetched and read in its place, and flagged.
    Where the decision left a pair of sequences or two parts of a series open, the images settle it, and the outcome
    has the decision as ``identification``. Where a reference is named, it is one that objects can refer to, and what
    its header has to be repaired in for them is flagged.

    What is finer than networks see is kept coarser; the reference is also kept as it is, for its slices, and
    everything is where it is to be ``fine``.

    Parameters
    ----------
    most_bytes
        Of one series, in memory.

    Raises
    ------
    GlioLoopError
        FILE_UNREADABLE, GEOMETRY_*, NOT_A_VOLUME, PART_MISSING, PIXELS_INVALID, INPUT_TOO_LARGE, SEQUENCE_UNDECIDED;
        FRAME_OF_REFERENCE_MISSING, HEADER_ILLEGAL of the reference.
    """

    limits = VolumeLimits(total_bytes=most_bytes)

    @cache
    def read(sequence: MRSequence, part: SeriesPart | None) -> LoadedSeries:
        series = read_series(case.source_files(sequence), part, limits)
        require_anatomy(series.volume)
        return LoadedSeries.of(series, look_at_slices(series.volume), fine)

    if fetch is None:
        whole = decision
    else:
        whole = readable(decision, fetch, lambda sequence, choice: read(sequence, choice.part))
    chosen = choose_repeats(whole, lambda sequence, part: read(sequence, part).volume)
    found: dict[MRSequence, LoadedSeries] = {}
    for number, sequence in enumerate(chosen.chosen):
        found[sequence] = read(sequence, chosen.parts.get(sequence))
        progress((number + 1) / len(chosen.chosen))
    settled = settle(chosen, {sequence: one.volume for sequence, one in found.items()})
    before = {(uid, chosen.parts.get(sequence)): sequence for sequence, uid in chosen.chosen.items()}
    moved = {sequence: before[uid, settled.parts.get(sequence)] for sequence, uid in settled.chosen.items()}
    case.rename_sources(moved)
    taken = {sequence: found[old] for sequence, old in moved.items()}
    case.write_volumes({sequence: one.volume for sequence, one in taken.items()})
    if reference in taken and taken[reference].coarser:
        case.write_reference(read_series(case.source_files(reference), settled.parts.get(reference), limits).volume)
    flags = [*settled.split_flags(), *_image_flags(taken), *settled.flags[len(decision.flags) :]]
    if reference in taken:
        flags += _header_flags(taken[reference])
    loaded = Loaded(
        volumes={sequence: VolumeOutcome(size=one.size, spacing_mm=one.spacing_mm) for sequence, one in taken.items()},
        flags=told(flags),
    )
    return loaded if settled is decision else loaded.model_copy(update={"identification": settled})


def _image_flags(taken: Mapping[MRSequence, LoadedSeries]) -> list[Flag]:
    flags: list[Flag] = []
    for sequence, one in taken.items():
        if one.left_out:
            flags.append(Flag("FOREIGN_IMAGES_LEFT_OUT", f"{sequence.value}: {', '.join(one.left_out)}."))
        flags += (Flag(flag.code, f"{sequence.value}: {flag.detail}") for flag in one.flags)
    return flags


def _header_flags(reference: LoadedSeries) -> list[Flag]:
    """Check what the objects will copy before anything is computed for them."""
    require_references(reference.volume)
    repaired = repaired_attributes(reference.header)
    return [Flag("HEADER_REPAIRED", ", ".join(repaired))] if repaired else []


def align_stage(case: Workspace, reference: MRSequence, named: Collection[MRSequence] = ()) -> Aligned:
    """Align every sequence to the reference, and look whether the images contradict what the headers say.

    Parameters
    ----------
    named
        Sequences that a person named: what is said so, stands.

    Raises
    ------
    GlioLoopError
        ALIGNMENT_FAILED, SEQUENCE_UNDECIDED.
    """
    volumes = case.read_volumes()
    alignments = align(volumes, reference)
    unnamed = {sequence: volume for sequence, volume in volumes.items() if sequence not in named}
    against = contradiction(volumes[reference], unnamed, {key: one.transform for key, one in alignments.items()})
    if against:
        raise GlioLoopError("SEQUENCE_UNDECIDED", f"{against}.")
    case.write_alignments(alignments)
    return Aligned(
        alignment={
            sequence: AlignmentOutcome(
                rotation_deg=round(one.rotation_deg, 2),
                displacement_mm=round(one.displacement_mm, 2),
                metric=round(one.metric, 4),
                overlap=round(one.overlap, 4),
            )
            for sequence, one in alignments.items()
        },
        flags=told(
            Flag(flag.code, f"{sequence.value}: {flag.detail}")
            for sequence, one in alignments.items()
            for flag in one.flags
        ),
    )


def infer_stage(
    case: Workspace,
    reference: MRSequence,
    model: InstalledModel,
    progress: Progress,
    optional: Collection[MRSequence] = (),
    provider: Provider = Provider.AUTO,
) -> Inferred:
    """Run the network; one of the ``optional`` sequences is left out where it shows too little of brain or tumour.

    Raises
    ------
    GlioLoopError
        BRAIN_NOT_FOUND, COVERAGE_INCOMPLETE, MODEL_DAMAGED.
    """
    found = delineate(case.read_volumes(), case.read_alignments(), reference, model, progress, optional, provider)
    case.write_regions("probability", found.probabilities)
    if found.look is not None:
        for one in fields(found.look):
            case.write_image(f"{_LOOK}-{one.name}", getattr(found.look, one.name))
    return Inferred(
        brain_ml=round(found.brain_ml, 1),
        uncertainty=round(found.uncertainty, 4),
        provider=found.provider.value,
        flags=told((*found.flags, *_fallback(provider, found.provider))),
    )


def _fallback(wanted: Provider, used: Provider) -> list[Flag]:
    reason = fallback(wanted, used)
    return [Flag("PROVIDER_FALLBACK", reason)] if reason else []


def restore_stage(case: Workspace, reference: MRSequence, card: ModelCard) -> RestoredVolumes:
    """Resample the probabilities onto the reference series' slices, clean up, and measure the volumes."""
    followed = {rule.sequence for rule in card.postprocessing.sharpening.values()} - {reference}
    volumes = case.read_volumes(followed) | {reference: case.read_reference(reference)}
    restored = restore_case(case.read_regions("probability"), volumes, case.read_alignments(), reference, card)
    case.write_regions("native", restored.probabilities)
    case.write_regions("mask", restored.masks)
    flags = [*restored.flags, *_suspicions(case, restored)]
    return RestoredVolumes(
        volumes_ml={region: round(volume, 2) for region, volume in restored.volumes_ml.items()}, flags=told(flags)
    )


def _suspicions(case: Workspace, restored: Restored) -> list[Flag]:
    """Where nothing was found, or a part was left out: what else looks like tumour."""
    doubtful = {"NO_TUMOUR_FOUND", "DOUBTFUL_PART_LEFT_OUT"} & {flag.code for flag in restored.flags}
    names = {one.name: f"{_LOOK}-{one.name}" for one in fields(Look)}
    if not doubtful or not all(map(case.has_image, names.values())):
        return []
    delineated = restored.masks[Region.WT]
    if Region.CAVITY in restored.masks:
        delineated = sitk.Maximum(delineated, restored.masks[Region.CAVITY])
    look = Look(**{name: case.read_image(kept) for name, kept in names.items()})
    found = largest(suspicious_signal(look), delineated)
    return [] if found is None else [Flag("SUSPICIOUS_SIGNAL", str(found))]


def write_stage(
    case: Workspace,
    settings: Settings,
    model: InstalledModel,
    flags: Iterable[FlagRecord],
    identity: str,
    created: datetime,
    predecessor: pydicom.Dataset | None = None,
) -> Written:
    """Write the DICOM objects and the preview into the workspace.

    Parameters
    ----------
    flags
        What earlier stages flagged.
    identity
        Seeds the objects' UIDs: a stage that is run again after a crash writes the same objects.
    created
        Time of creation for the objects; the same at every try, for the same reason.
    predecessor
        The structure set that this one replaces.
    """
    reference = settings.reference
    card = model.card
    volume = case.read_reference(reference)
    objects = build_objects(
        source=headers_of(case, reference, volume),
        volume=volume,
        probabilities=case.read_regions("native"),
        masks=case.read_regions("mask"),
        thresholds=cleaning(card).thresholds,
        provenance=Provenance(
            model=card.identity,
            model_sha256=card.sha256,
            software_version=__version__,
            instance=installation_id(database_of(settings)),
            created=created,
            options=_lineage(card),
        ),
        flags=[Flag(one.code, one.detail) for one in flags],
        roi_names=settings.roi_names,
        want=set(settings.objects),
        language=settings.language,
        uid_seed=identity,
        predecessor=predecessor,
    )
    return _keep(case, objects)


def _lineage(card: ModelCard) -> dict[str, str]:
    """What a fine-tuned network came from, for the objects; nothing for one that was trained from the start."""
    if card.lineage is None:
        return {}
    return {"fine-tuned from": card.lineage.parent, "corrections learnt": str(len(card.lineage.cases))}


def headers_of(case: Workspace, reference: MRSequence, volume: SourceVolume) -> list[pydicom.Dataset]:
    """Headers of the instances that hold the reference's slices; its files may hold other parts of the series, too."""
    instances = {one.sop_instance_uid for one in volume.slices}
    headers = (pydicom.dcmread(path, stop_before_pixels=True) for path in case.source_files(reference))
    return [header for header in headers if str(header.get("SOPInstanceUID", "")) in instances]


def _keep(case: Workspace, objects: ObjectSet) -> Written:
    written = {kind: _write(case, f"{kind}.dcm", dataset) for kind, dataset in objects.datasets.items()}
    for number, dataset in enumerate(objects.overlay, start=1):
        one = _write(case, f"overlay/{number:04d}.dcm", dataset)
        written.setdefault("overlay", one)
    if objects.picture is not None:
        content = BytesIO()
        objects.picture.save(content, "PNG")
        case.write_bytes("objects/preview.png", content.getvalue())
    sizes = {region: SizeOutcome.model_validate(size, from_attributes=True) for region, size in objects.sizes.items()}
    return Written(objects=written, sizes=sizes, rois=_rois(objects.datasets.get("rtstruct")))


def _write(case: Workspace, name: str, dataset: pydicom.Dataset) -> ObjectOutcome:
    content = BytesIO()
    dataset.save_as(content, enforce_file_format=True)
    case.write_bytes(f"objects/{name}", content.getvalue())
    return ObjectOutcome(
        sop_instance_uid=str(dataset.SOPInstanceUID), series_instance_uid=str(dataset.SeriesInstanceUID)
    )


def _rois(structure_set: pydicom.Dataset | None) -> tuple[RoiOutcome, ...]:
    """Name and number of contours of each ROI, as read from the structure set itself."""
    if structure_set is None:
        return ()
    names = {roi.ROINumber: str(roi.ROIName) for roi in structure_set.StructureSetROISequence}
    contours = {
        item.ReferencedROINumber: len(item.get("ContourSequence", [])) for item in structure_set.ROIContourSequence
    }
    return tuple(RoiOutcome(name=name, contours=contours.get(number, 0)) for number, name in names.items())
