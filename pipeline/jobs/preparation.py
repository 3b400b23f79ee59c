"""From a study in the archive to a job: which series, which instances, which identity.

The plugin (a REST call) and the worker (a stable study) both come through :func:`prepare`, so that
they can't decide differently.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain

from pydicom import Dataset

from pipeline.archive.orthanc import InstanceRecord, SeriesRecord
from pipeline.archive.protocol import Archive
from pipeline.archive.study import Study
from pipeline.case.identity import content_of, fresh_nonce, job_id
from pipeline.case.optional import optional_sequences
from pipeline.errors import GlioLoopError
from pipeline.errors.records import ErrorRecord
from pipeline.identify import (
    Decision,
    ListedInstance,
    SeriesHeader,
    dataset_from_orthanc_tags,
    headers_of_series,
    identify,
)
from pipeline.identify.traits import number_of, triple_of
from pipeline.jobs.request import JobRequest, ProcessOptions, Undecided
from pipeline.names import MRSequence
from pipeline.registry import ModelCard
from pipeline.settings import Settings


@dataclass(frozen=True)
class Prepared:
    """A job that can be queued.

    Attributes
    ----------
    identity
        The job's id.
    request
        What travels with it.
    decision
        The identification behind it; it may lack sequences.
    """

    identity: str
    request: JobRequest
    decision: Decision


def decide(archive: Archive, study: Study, settings: Settings, override: Mapping[MRSequence, str]) -> Decision:
    """Identify the four sequences of a study.

    Raises
    ------
    GlioLoopError
        STUDY_EMPTY, NO_MR, SERIES_UNKNOWN, INPUT_TOO_LARGE; IMAGE_WITHHELD where the archive lists a series and hands
        out none of its images.
    """
    count = study.instance_count
    if count > settings.most_instances:
        raise GlioLoopError("INPUT_TOO_LARGE", f"{count} instances, {settings.most_instances} allowed")
    headers = [header for one in study.series.values() if one.instances for header in _headers(archive, one)]
    return identify(headers, settings.identification, override)


def _headers(archive: Archive, series: SeriesRecord) -> list[SeriesHeader]:
    """The headers of a series, one of every part of it."""
    listed = archive.get(f"/series/{series.id}/instances") or []
    found = headers_of_series(
        series.uid,
        [_listed(InstanceRecord.model_validate(one)) for one in listed],
        lambda instance: _header_of(archive, instance),
        series.id,
    )
    if not found:
        # Left out, the series would count as missing, and the study be refused for it.
        raise GlioLoopError("IMAGE_WITHHELD", f"series {series.id}")
    return found


def _listed(instance: InstanceRecord) -> ListedInstance:
    tags = instance.tags
    cosines = tags.get("ImageOrientationPatient", "").split("\\")
    row, column = triple_of(cosines[:3]), triple_of(cosines[3:])
    return ListedInstance(
        key=instance.id,
        number=int(number_of(tags.get("InstanceNumber")) or 0),
        frames=int(number_of(tags.get("NumberOfFrames")) or 0),
        position=triple_of(tags.get("ImagePositionPatient", "").split("\\")),
        cosines=(row, column) if row and column else None,
    )


def _header_of(archive: Archive, instance: str) -> Dataset | None:
    tags = archive.get(f"/instances/{instance}/tags")
    return None if tags is None else dataset_from_orthanc_tags(tags, every_frame=True)


def prepare(
    archive: Archive, settings: Settings, study: Study, options: ProcessOptions, card: ModelCard, origin: str
) -> Prepared:
    """Make the job for a study's present content.

    Parameters
    ----------
    card
        Of the network that the registry resolved.
    origin
        Who asked: ``ready``, ``stable``, ``grace``, ``rest``, ``rescan`` or ``forced``.

    Raises
    ------
    GlioLoopError
        STUDY_EMPTY, NO_MR, SERIES_UNKNOWN, IMAGE_WITHHELD. A missing sequence is no error here: ``decision`` tells.
    """
    decision = decide(archive, study, settings, options.series)
    by_uid = {one.uid: one for one in study.series.values()}
    optional = optional_sequences(settings, card)
    suffices = decision.suffices(optional)
    # What we made of a study ourselves is no new content of it.
    images = [uid for uid, one in by_uid.items() if one.modality == "MR"]
    taken = list(decision.chosen.values()) if suffices else images
    instances = {uid: sorted(by_uid[uid].instances) for uid in taken}
    # What may stand in for a damaged series travels along, but is not what the job is known by.
    second = {one.series_instance_uid for choices in decision.others.values() for one in choices}
    spare = {uid: sorted(by_uid[uid].instances) for uid in sorted(second)}
    request = JobRequest(
        study=study.orthanc_id,
        study_instance_uid=study.study_instance_uid,
        decision=decision,
        instances=instances | spare if suffices else {},
        model=card.identity,
        destinations=options.destinations,
        origin=origin,
        may_lack=optional,
        reference=settings.reference,
        content=content_of(chain.from_iterable(instances.values()), "" if suffices else "incomplete"),
    )
    identity = job_id(
        study.orthanc_id,
        _sop_instance_uids(archive, study, taken),
        card.identity,
        {
            "series": {sequence.value: uid for sequence, uid in decision.chosen.items()},
            "destinations": sorted(options.destinations) if options.destinations is not None else None,
            **({"reference": settings.reference.value} if settings.reference is not MRSequence.T1C else {}),
            # Done without a sequence is another job than refused for want of it, of the same three series.
            **({"lacking": [one.value for one in decision.missing]} if suffices and decision.missing else {}),
        },
        fresh_nonce() if options.force else "",
    )
    return Prepared(identity, request, decision)


def seems_whole(archive: Archive, study: Study, decision: Decision) -> bool:
    """Whether nothing in the archive's lists speaks for images that are still to come to the chosen series.

    Of a study that is not stable yet: none of the four sequences lacks, no series has fewer images than its headers
    announce, and their numbers run from the first in equal steps.
    """
    if decision.missing:
        return False
    chosen = [one for one in study.series.values() if one.uid in decision.chosen.values()]
    return all(one.status != "Missing" and _without_gap(archive, one) for one in chosen)


def _without_gap(archive: Archive, series: SeriesRecord) -> bool:
    listed = map(InstanceRecord.model_validate, archive.get(f"/series/{series.id}/instances") or [])
    numbers = sorted({_listed(one).number for one in listed})
    step = numbers[1] - numbers[0] if len(numbers) > 1 else 1
    # Every second one where two contrasts take turns.
    return bool(numbers) and 1 <= numbers[0] <= step and numbers == list(range(numbers[0], numbers[-1] + 1, step))


def refused(study: Study, error: GlioLoopError, model: str, origin: str) -> tuple[str, JobRequest]:
    """Make the job that records why a study is not segmented: nothing disappears without a reason."""
    content = sorted(instance for one in study.series.values() for instance in one.instances)
    request = JobRequest(
        study=study.orthanc_id,
        study_instance_uid=study.study_instance_uid,
        decision=Undecided(error=ErrorRecord.of(error)),
        instances={},
        model=model,
        destinations=None,
        origin=origin,
        content=content_of(content, error.code),
    )
    return job_id(study.orthanc_id, content, model, {"refused": error.code}), request


def _sop_instance_uids(archive: Archive, study: Study, series_uids: list[str]) -> list[str]:
    wanted = {instance for one in study.series.values() if one.uid in series_uids for instance in one.instances}
    listed = archive.get(f"/studies/{study.orthanc_id}/instances")
    if listed is None:
        raise GlioLoopError("STUDY_UNKNOWN", study.orthanc_id)
    found = {one.id: one.tags["SOPInstanceUID"] for one in map(InstanceRecord.model_validate, listed)}
    if not wanted <= found.keys():
        # Between the two listings the study changed: the job's identity would be that of neither content.
        raise GlioLoopError("IMAGE_WITHHELD", f"{len(wanted - found.keys())} images of study {study.orthanc_id}")
    return [found[one] for one in sorted(wanted)]
