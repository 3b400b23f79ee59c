"""What Orthanc's REST API answers, as far as it is needed here; everything else in its answers is passed over."""

from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, Field


class Answer(BaseModel):
    """A record of Orthanc's; the keys are Orthanc's."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class SeriesRecord(Answer):
    """A series.

    Attributes
    ----------
    id
        Orthanc's id.
    instances
        Orthanc's ids of its instances.
    tags
        Its main DICOM tags, by keyword.
    status
        ``Missing`` where fewer instances came than its headers announce; ``Unknown`` where they announce nothing.
    """

    id: str = Field(validation_alias="ID")
    instances: tuple[str, ...] = Field(validation_alias="Instances")
    tags: dict[str, str] = Field(validation_alias="MainDicomTags")
    status: str = Field(validation_alias="Status", default="Unknown")

    @property
    def uid(self) -> str:
        """SeriesInstanceUID."""
        return self.tags["SeriesInstanceUID"]

    @property
    def modality(self) -> str:
        """Modality; empty where unknown."""
        return self.tags.get("Modality", "")


class StudyRecord(Answer):
    """A study; its tags and its patient's by keyword."""

    id: str = Field(validation_alias="ID")
    stable: bool = Field(validation_alias="IsStable")
    tags: dict[str, str] = Field(validation_alias="MainDicomTags")
    patient_tags: dict[str, str] = Field(validation_alias="PatientMainDicomTags", default_factory=dict)


class Arrival(Answer):
    """How far a study has arrived: whether it counts as stable, and the second of the latest arrival."""

    stable: bool = Field(validation_alias="IsStable")
    last_update: str = Field(validation_alias="LastUpdate")

    @property
    def latest(self) -> datetime:
        """When the latest image came, UTC."""
        return datetime.strptime(self.last_update, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)


class PatientRecord(Answer):
    """A patient, by number: Orthanc's ids of all studies, and main DICOM tags by keyword."""

    id: str = Field(validation_alias="ID")
    studies: tuple[str, ...] = Field(validation_alias="Studies")
    tags: dict[str, str] = Field(validation_alias="MainDicomTags", default_factory=dict)

    @property
    def patient_id(self) -> str:
        """PatientID; empty where unknown."""
        return self.tags.get("PatientID", "")


class InstanceRecord(Answer):
    """An instance; its main DICOM tags by keyword."""

    id: str = Field(validation_alias="ID")
    tags: dict[str, str] = Field(validation_alias="MainDicomTags")


class Change(Answer):
    """An entry of the log of changes: its number, what it is about, and what happened."""

    sequence: int = Field(validation_alias="Seq")
    resource: str = Field(validation_alias="ID")
    kind: str = Field(validation_alias="ChangeType")


class Changes(Answer):
    """A page of the log of changes, and where it ends."""

    changes: tuple[Change, ...] = Field(validation_alias="Changes")
    done: bool = Field(validation_alias="Done")
    last: int = Field(validation_alias="Last")


class TransferContent(Answer):
    """What Orthanc says of the instances that it sent."""

    failed: int = Field(validation_alias="FailedInstancesCount", default=0)


class TransferJob(Answer):
    """A job of Orthanc's that sends to a modality, or has it send."""

    state: str = Field(validation_alias="State")
    content: TransferContent = Field(validation_alias="Content", default_factory=TransferContent)
    details: str = Field(validation_alias="ErrorDetails", default="")
    description: str = Field(validation_alias="ErrorDescription", default="")
