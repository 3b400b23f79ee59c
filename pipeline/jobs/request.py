"""What is asked of the node."""

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from pipeline.case.identity import content_of
from pipeline.case.outcomes import StoredDecision
from pipeline.errors.records import ErrorRecord
from pipeline.identify import Decision
from pipeline.jobs.queues import DEFAULT_PRIORITY, DELIVER_WORKFLOW, DELIVERY_QUEUE
from pipeline.names import MRSequence
from pipeline.records import StoredRecord

if TYPE_CHECKING:
    from dbos import EnqueueOptions


class ProcessOptions(BaseModel):
    """Body of ``POST /glioloop/studies/{study}/process``; unknown keys are refused.

    Attributes
    ----------
    background
        Whether it is one study of many that nobody waits for: its end is told nobody, and no earlier studies are
        fetched for it.
    known
        Whether the job that the same images have already answers it, whichever network made it.
    quiet
        Whether it waits for quiet hours.
    """

    model_config = ConfigDict(extra="forbid")

    force: bool = False
    model: str | None = Field(default=None, max_length=128, pattern=r"^[A-Za-z0-9_.-]+(@[A-Za-z0-9_.-]+)?$")
    series: dict[MRSequence, str] = Field(default_factory=dict)
    destinations: tuple[str, ...] | None = Field(default=None, max_length=16)
    priority: int = Field(default=DEFAULT_PRIORITY, ge=1, le=10_000)
    background: bool = False
    known: bool = False
    quiet: bool = False


class Undecided(StoredRecord):
    """In the place of an identification: why the study is refused before there is one."""

    error: ErrorRecord


class JobRequest(StoredRecord):
    """Everything a job needs to start; it travels with the job.

    Attributes
    ----------
    study
        Orthanc's id of the study.
    study_instance_uid
        Its StudyInstanceUID.
    decision
        The identification, or why there is none.
    instances
        For each series of the decision its Orthanc instance ids, sorted.
    model
        ``name@version``.
    destinations
        Names of modalities; None means those configured.
    origin
        ``ready``, ``stable``, ``rest``, ``archive``, ``rescan``, ``forced`` or ``course``: what asked.
    asked_by
        Orthanc's user where a person asked.
    may_lack
        Sequences of which one may lack, by the site's settings and the network's card.
    reference
        Sequence whose slices carry the contours; None in requests of earlier versions.
    content
        Of what images it is, and why they are refused at once, as :func:`content_of` gives it.
    """

    study: str
    study_instance_uid: str
    decision: Undecided | StoredDecision = Field(union_mode="left_to_right")
    instances: dict[str, list[str]]
    model: str
    destinations: tuple[str, ...] | None
    origin: str
    asked_by: str = ""
    may_lack: tuple[MRSequence, ...] = ()
    reference: MRSequence | None = None
    content: str = ""

    @property
    def identification(self) -> Decision:
        """The identification.

        Raises
        ------
        GlioLoopError
            Why there is none.
        """
        if isinstance(self.decision, Undecided):
            raise self.decision.error.error
        return self.decision

    @property
    def first_images(self) -> list[str]:
        """Orthanc's ids of one image of each series that was taken."""
        uids = self.identification.chosen.values()
        return [self.instances[uid][0] for uid in uids if self.instances.get(uid)]

    @property
    def question(self) -> str:
        """Hash of what is asked, whatever answers it; of requests of earlier versions, too."""
        return self.content or content_of(one for series in self.instances.values() for one in series)


class DeliveryTry(StoredRecord):
    """One try of sending a job's results to one destination.

    Attributes
    ----------
    job
        The job's id.
    destination
        Name of the modality.
    resources
        Orthanc ids of what is sent.
    number
        Of all tries of this delivery, from 1.
    attempt
        Of the tries since a person asked last, from 1.
    seconds
        What the tries before took.
    sent
        When everything was sent, seconds since 1970: what is left is the destination's commitment to keep it.
    transaction
        Of the storage commitment; empty where it has to be asked for.
    looks
        How often the commitment was looked for.
    """

    job: str
    destination: str
    resources: list[str]
    number: int = 1
    attempt: int = 1
    seconds: float = 0.0
    sent: float | None = None
    transaction: str = ""
    looks: int = 0

    @classmethod
    def read(cls, request: object, *earlier_form: object) -> "DeliveryTry":
        """Read what was queued, also by versions that queued job, destination and resources one by one."""
        if not earlier_form:
            return cls.model_validate(request)
        destination, resources = earlier_form
        return cls.model_validate({"job": request, "destination": destination, "resources": resources})

    @property
    def key(self) -> str:
        """Attribute of the job under which the delivery's state is kept."""
        return f"delivery.{self.destination}"

    def following(self, seconds: float) -> "DeliveryTry":
        """The next try, after this many seconds of sending in all."""
        begun: dict[str, object] = {"sent": None, "transaction": "", "looks": 0}
        counted = {"number": self.number + 1, "attempt": self.attempt + 1, "seconds": seconds}
        return self.model_copy(update=counted | begun)

    def looking(self, sent: float, seconds: float, transaction: str = "") -> "DeliveryTry":
        """The next look for the destination's commitment to what was sent."""
        looks = 0 if self.sent is None else self.looks + 1
        update = {"number": self.number + 1, "seconds": seconds, "sent": sent, "transaction": transaction}
        return self.model_copy(update=update | {"looks": looks})

    def options(self, delay_seconds: float = 0) -> "EnqueueOptions":
        """How it is queued: once, and behind its own destination only."""
        options: EnqueueOptions = {
            "workflow_name": DELIVER_WORKFLOW,
            "queue_name": DELIVERY_QUEUE,
            "workflow_id": delivery_id(self.job, self.destination, self.number),
            # A destination that never answers when it is asked to commit holds up nothing that is sent to it.
            "queue_partition_key": self.destination if self.sent is None else f"{self.destination} commitment",
        }
        if delay_seconds:
            options["delay_seconds"] = delay_seconds
        return options


def acceptance_id(job: str) -> str:
    """Id of the workflow that writes what was accepted of a job."""
    return f"accept-{job}"


def delivery_id(job: str, destination: str, number: int) -> str:
    """Id of the workflow that is one try of a delivery."""
    # Earlier versions had one workflow for all tries, without a number.
    return f"{job}.{destination}.{number}" if number else f"{job}.{destination}"
