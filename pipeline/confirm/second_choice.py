"""Where a chosen series can't be read, the next candidate stands in for it, and it is told."""

from collections.abc import Callable

from pipeline.errors import GlioLoopError
from pipeline.identify import Decision, SecondChoice
from pipeline.names import MRSequence

Fetch = Callable[[MRSequence, str], None]

#: What says that a series is damaged or no volume, whatever the rest of the study is.
_DAMAGE = frozenset(
    {
        "FILE_UNREADABLE",
        "GEOMETRY_INCOMPLETE",
        "GEOMETRY_MISSING",
        "GEOMETRY_MIXED",
        "GEOMETRY_TILTED",
        "INPUT_TOO_LARGE",
        "NOT_A_VOLUME",
        "PART_MISSING",
        "PIXELS_INVALID",
    }
)


def readable(decision: Decision, fetch: Fetch, read: Callable[[MRSequence, SecondChoice], object]) -> Decision:
    """The decision with every chosen series that can't be read replaced by the next candidate that can.

    Parameters
    ----------
    decision
        As identification left it.
    fetch
        Puts the files of a series where those of a sequence are read from, instead of what lies there.
    read
        Reads them, or a part of them.

    Raises
    ------
    GlioLoopError
        What the chosen series failed with, where no candidate can be read either; everything else at once.
    """
    for sequence, uid in decision.chosen.items():
        first: GlioLoopError | None = None
        for choice in (SecondChoice(uid, decision.parts.get(sequence)), *decision.others.get(sequence, ())):
            try:
                fetch(sequence, choice.series_instance_uid)
                read(sequence, choice)
            except GlioLoopError as error:
                if error.code not in _DAMAGE:
                    raise
                first = first or error
            else:
                if first is not None:
                    decision = decision.fallen_back(sequence, choice, f"{first.code} {first.detail}".strip())
                break
        else:
            if first is not None:
                raise first
    return decision
