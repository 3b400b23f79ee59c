"""Where results go."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal, get_args

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator
from pydantic.alias_generators import to_pascal

ObjectKind = Literal["rtstruct", "seg", "sr", "preview", "overlay", "pdf", "gsps"]
#: What can be made of a study.
OBJECT_KINDS: Final[tuple[ObjectKind, ...]] = get_args(ObjectKind)
#: What is made of it where the site says nothing else; the others are for archives that do not show these.
USUAL_OBJECTS: Final[tuple[ObjectKind, ...]] = ("rtstruct", "seg", "sr", "preview")
#: Report and registration of a patient's course are ``course``; see :class:`pipeline.settings.Priors`.
ForwardKind = Literal[ObjectKind, "course", "reference", "inputs"]
FORWARD_KINDS: Final[tuple[ForwardKind, ...]] = (*OBJECT_KINDS, "course", "reference", "inputs")

#: A name in Orthanc's ``DicomModalities``; it becomes a part of a path.
MODALITY: Final = r"^[A-Za-z0-9_.-]+$"
Name = Annotated[str, Field(min_length=1, max_length=64, pattern=MODALITY)]
TransferSyntax = Annotated[str, Field(max_length=64, pattern=r"^1\.2\.840\.10008\.1\.2[0-9.]*$")]


class Destination(BaseModel):
    """One place results go to; its kinds are below.

    Attributes
    ----------
    send
        Which objects: any of the results, ``course``, ``reference`` (images of the reference series), ``inputs``
        (images of all four series).
    called
        What its deliveries go by, where that is not the name that Orthanc knows it by.
    alternate
        Name of the destination that gets what this one did not take at its last try.
    retry_seconds
        Waits between tries; None for ``ForwardRetrySeconds``.
    transfer_syntax
        UID of the one that objects are sent in; those without pixels, or with pixels that cannot be, stay as they are.
    """

    model_config = ConfigDict(extra="forbid", alias_generator=to_pascal, populate_by_name=True)

    send: tuple[ForwardKind, ...] = (*OBJECT_KINDS, "course")
    called: Name | None = Field(default=None, alias="Name")
    alternate: Name | None = None
    retry_seconds: tuple[Annotated[float, Field(ge=0)], ...] | None = None
    transfer_syntax: TransferSyntax | None = None

    @property
    def name(self) -> str:
        """What its deliveries go by."""
        return self.called or self.address

    @property
    def address(self) -> str:
        """What Orthanc, or the file system, knows it by."""
        raise NotImplementedError


class Modality(Destination):
    """A DICOM node.

    Attributes
    ----------
    modality
        Name in Orthanc's ``DicomModalities``.
    commitment
        Whether it takes responsibility by storage commitment: delivered is then what it has committed to.
    commitment_late_seconds, commitment_most_seconds
        After this a commitment is late; after this it is looked for no more.
    """

    modality: Name
    commitment: bool = False
    commitment_late_seconds: float = Field(default=600, gt=0)
    commitment_most_seconds: float = Field(default=86_400, gt=0)

    @property
    def address(self) -> str:
        """Orthanc's name of it."""
        return self.modality


class DicomWeb(Destination):
    """A DICOMweb server, by STOW-RS.

    Attributes
    ----------
    dicom_web
        Name in ``Servers`` of Orthanc's ``DicomWeb``.
    """

    dicom_web: Name

    @property
    def address(self) -> str:
        """Orthanc's name of it."""
        return self.dicom_web

    @model_validator(mode="after")
    def _as_stored(self) -> "DicomWeb":
        if self.transfer_syntax is not None:
            raise ValueError("TransferSyntax: Orthanc's DICOMweb client sends objects as they are stored")
        return self


class Peer(Destination):
    """Another Orthanc.

    Attributes
    ----------
    peer
        Name in ``OrthancPeers``.
    """

    peer: Name

    @property
    def address(self) -> str:
        """Orthanc's name of it."""
        return self.peer


class Folder(Destination):
    """A folder that the workers see, which is never made by them: a share that is not mounted is no folder.

    Attributes
    ----------
    folder
        Absolute; each study gets a folder of its own in it.
    """

    folder: str = Field(pattern=r"^/", max_length=1024)
    called: Name = Field(alias="Name")

    @property
    def address(self) -> str:
        """Its path."""
        return self.folder


AnyDestination = Modality | DicomWeb | Peer | Folder
_KINDS: Final[tuple[type[AnyDestination], ...]] = (DicomWeb, Peer, Folder, Modality)


def _kind_of(value: object) -> str:
    """Tell a destination's kind by the key that names where it is; a modality where none does."""
    for kind in _KINDS:
        if isinstance(value, kind) or (isinstance(value, Mapping) and {kind.__name__, _field(kind)} & value.keys()):
            return kind.__name__
    return Modality.__name__


def _field(kind: type[AnyDestination]) -> str:
    return "dicom_web" if kind is DicomWeb else kind.__name__.lower()


#: As it stands in orthanc.json.
ConfiguredDestination = Annotated[
    Annotated[Modality, Tag("Modality")]
    | Annotated[DicomWeb, Tag("DicomWeb")]
    | Annotated[Peer, Tag("Peer")]
    | Annotated[Folder, Tag("Folder")],
    Discriminator(_kind_of),
]
