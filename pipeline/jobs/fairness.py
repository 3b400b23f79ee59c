"""Turns of the senders: one with hundreds of studies in the queue does not hold up another's single one.

Of each sender the next study comes as soon as others', whatever it has behind: start-time fair queueing, by the
priorities that the queue has anyway.
"""

from collections.abc import Collection

from pipeline.jobs.queues import DEFAULT_PRIORITY, LOW_PRIORITY


def fair_priority(waiting: Collection[tuple[str, int]], sender: str) -> int:
    """Priority of a sender's next study: behind its own that wait, beside the first of others.

    Parameters
    ----------
    waiting
        Sender and priority of each study that waits; urgent ones and those of low priority play no part.

    Examples
    --------
    >>> fair_priority([("MR1", 100), ("MR1", 101), ("MR1", 102)], "MR2")
    100
    >>> fair_priority([("MR1", 107), ("MR1", 108), ("MR2", 107)], "MR2")
    108
    """
    usual = [(one, priority) for one, priority in waiting if DEFAULT_PRIORITY <= priority < LOW_PRIORITY]
    first = min((priority for _, priority in usual), default=DEFAULT_PRIORITY)
    own = max((priority + 1 for one, priority in usual if one == sender), default=first)
    return min(max(first, own), LOW_PRIORITY - 1)
