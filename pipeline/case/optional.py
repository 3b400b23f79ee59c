"""Which sequences a case can do without."""

from pipeline.names import MRSequence
from pipeline.registry import ModelCard
from pipeline.settings import Settings


def optional_sequences(settings: Settings, card: ModelCard) -> tuple[MRSequence, ...]:
    """Sequences of which one may be absent: those that the site allows and that the network was measured without."""
    return tuple(sequence for sequence in settings.may_lack if sequence in card.may_lack)
