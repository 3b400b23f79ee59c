"""A reason that stops a job, and a flag that goes with its result."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.errors.reasons import REASONS


class GlioLoopError(Exception):
    """A refusal or a failure with its code.

    Parameters
    ----------
    code
        A key of :data:`REASONS`.
    detail
        What is particular to this case (series, file, number), without patient names.
    data
        JSON-serialisable facts that go with it, for example the reasons per series.
    """

    def __init__(self, code: str, detail: str = "", data: Mapping[str, object] | None = None) -> None:
        self.code = code
        self.reason = REASONS[code]
        self.detail = detail
        self.data = dict(data or {})
        super().__init__(f"{code}: {self.reason.message} {detail}".strip())

    def as_json(self) -> dict[str, object]:
        """The error as REST and job records show it."""
        return {
            "code": self.code,
            "kind": self.reason.kind.value,
            "message": self.reason.message,
            "detail": self.detail,
            "hint": self.reason.hint,
            **({"data": self.data} if self.data else {}),
        }

    def __reduce__(self) -> tuple[type["GlioLoopError"], tuple[str, str, dict[str, object]]]:
        return (GlioLoopError, (self.code, self.detail, self.data))


@dataclass(frozen=True)
class Flag:
    """A quality flag that goes with a delivered result.

    Attributes
    ----------
    code
        A key of :data:`REASONS` whose kind is ``flag``.
    detail
        What is particular to this case.
    """

    code: str
    detail: str = ""
    data: dict[str, object] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """The flag as REST shows it."""
        reason = REASONS[self.code]
        return {"code": self.code, "message": reason.message, "detail": self.detail, "hint": reason.hint}
