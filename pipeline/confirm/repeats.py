"""One T1 at two times in one series: taken before and after contrast, or taken twice? The images tell."""

from collections.abc import Callable

from pipeline.confirm.pairs import Reading, compare
from pipeline.errors import GlioLoopError
from pipeline.identify import Decision, Rivals, SeriesPart
from pipeline.names import MRSequence
from pipeline.volume import SourceVolume

Load = Callable[[MRSequence, SeriesPart], SourceVolume]


def choose_repeats(decision: Decision, load: Load) -> Decision:
    """Decide between the parts of every series that holds one T1 at two times.

    The one taken after contrast is the T1C, the other the T1. Where nothing differs that contrast medium would
    change, the same was taken twice, most often because the patient had moved: then the later one is taken.

    Parameters
    ----------
    decision
        With or without rivals.
    load
        Reads a part of the series that is chosen for a sequence.

    Raises
    ------
    GlioLoopError
        ``SEQUENCE_UNDECIDED`` where much differs, and not as contrast medium would change it.
    """
    for rivals in decision.rivals:
        earlier, later = (load(rivals.sequence, part) for part in (rivals.earlier, rivals.later))
        reading = _compared(earlier, later)
        if reading.swapped is None and not reading.alike:
            named = f"{rivals.sequence.value}: {rivals.earlier} or {rivals.later} of one series"
            raise GlioLoopError("SEQUENCE_UNDECIDED", f"{named}; {reading.reason}.", decision.as_json())
        decision = decision.preferred(rivals, *_choice(rivals, reading.swapped, reading.reason))
    return decision


def _compared(earlier: SourceVolume, later: SourceVolume) -> Reading:
    try:
        return compare((MRSequence.T1, MRSequence.T1C), earlier, later)
    except GlioLoopError as error:
        if error.code != "ALIGNMENT_FAILED":
            raise
        return Reading(None, "the images of the two could not be aligned with each other")


def _choice(rivals: Rivals, swapped: bool | None, reason: str) -> tuple[SeriesPart, str]:
    if swapped is None:
        return rivals.later, f"the later of two that show the same contrast, as of a repetition ({reason})"
    enhanced_one, native_one = (rivals.earlier, rivals.later) if swapped else (rivals.later, rivals.earlier)
    return (enhanced_one if rivals.sequence is MRSequence.T1C else native_one), reason
