"""Where results go."""

from typing import Final, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_pascal

ObjectKind = Literal["rtstruct", "seg", "sr", "preview"]
#: What is made of a study, each unless the site leaves it out.
OBJECT_KINDS: Final[tuple[ObjectKind, ...]] = get_args(ObjectKind)
#: Report and registration of a patient's course are ``course``; see :class:`pipeline.settings.Priors`.
ForwardKind = Literal[ObjectKind, "course", "reference", "inputs"]


#: A name in Orthanc's ``DicomModalities``; it becomes a part of a path.
MODALITY: Final = r"^[A-Za-z0-9_.-]+$"


class Destination(BaseModel):
    """One place results go to; its kinds are below.

    Attributes
    ----------
    send
        Which objects: any of the results, ``course``, ``reference`` (images of the reference series), ``inputs``
        (images of all four series).
    """

    model_config = ConfigDict(extra="forbid", alias_generator=to_pascal, populate_by_name=True)

    send: tuple[ForwardKind, ...] = (*OBJECT_KINDS, "course")

    @property
    def name(self) -> str:
        """What its deliveries go by."""
        raise NotImplementedError


class Modality(Destination):
    """A DICOM node.

    Attributes
    ----------
    modality
        Name in Orthanc's ``DicomModalities``.
    """

    modality: str = Field(min_length=1, max_length=64, pattern=MODALITY)

    @property
    def name(self) -> str:
        """Orthanc's name of it."""
        return self.modality


AnyDestination = Modality
