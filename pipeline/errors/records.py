"""Reasons and flags as they are stored and shown: with the words of the version that wrote them."""

from pydantic import JsonValue

from pipeline.errors.error import Flag, GlioLoopError
from pipeline.errors.reasons import REASONS
from pipeline.records import StoredRecord


class FlagRecord(StoredRecord):
    """A quality flag with its words.

    Attributes
    ----------
    code
        A key of :data:`pipeline.errors.REASONS`.
    message
        For a radiologist.
    detail
        What is particular to this case.
    hint
        For an engineer.
    """

    code: str
    message: str = ""
    detail: str = ""
    hint: str = ""

    @classmethod
    def of(cls, flag: Flag) -> "FlagRecord":
        """The flag with its words."""
        return cls.model_validate(flag.as_json())


class ErrorRecord(StoredRecord):
    """Why a job was refused or failed, with its words.

    Attributes
    ----------
    code
        A key of :data:`pipeline.errors.REASONS`; another version may know others.
    kind
        ``refusal`` or ``failure``.
    message
        For a radiologist.
    detail
        What is particular to this case.
    hint
        For an engineer.
    data
        Facts that go with it, for example the reasons per series.
    """

    code: str
    kind: str = ""
    message: str = ""
    detail: str = ""
    hint: str = ""
    data: JsonValue = None

    @classmethod
    def of(cls, error: GlioLoopError) -> "ErrorRecord":
        """The error with its words."""
        return cls.model_validate(error.as_json())

    @property
    def error(self) -> GlioLoopError:
        """The error again; INTERNAL where its code is another version's."""
        code = self.code if self.code in REASONS else "INTERNAL"
        return GlioLoopError(code, self.detail, self.data if isinstance(self.data, dict) else None)
