"""What the guard found, and what became of a candidate; without numpy, for the worker."""

from pipeline.records import StoredRecord


class Change(StoredRecord):
    """Mean score before and after, over the same cases.

    Attributes
    ----------
    before, after, change
        Mean Dice with the network in use, with the candidate, and their difference.
    ci95
        Bootstrap interval of the difference.
    p
        One-sided p value of a gain, by the exact paired test.
    n
        Number of cases.
    """

    before: float
    after: float
    change: float
    ci95: tuple[float, float]
    p: float
    n: int


class Judgement(StoredRecord):
    """What the guard found.

    Attributes
    ----------
    passed
        Whether the candidate may be put to use.
    reason
        Why, or why not, in words.
    corrections, corrections_per_region, reference
        The figures; on the corrections over the regions that were drawn.
    """

    passed: bool
    reason: str
    corrections: Change | None
    corrections_per_region: dict[str, Change]
    reference: dict[str, Change]


class Registered(StoredRecord):
    """The candidate.

    Attributes
    ----------
    model, parent
        ``name@version`` of it, and of what it started from.
    promoted
        Whether it is in use.
    decision
        Of the guard.
    """

    model: str
    parent: str
    promoted: bool
    decision: Judgement
