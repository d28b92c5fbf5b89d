"""What is asked for: two limits, their windows, and the subjects of each."""

from __future__ import annotations

import random
from typing import Final, NamedTuple

from formal_cluster.model import CounterKey, CounterRead, Window


class Limit(NamedTuple):
    """One limit.

    Attributes:
        share: Of all accesses, those that fall under it.
        subjects: How many there are. Low numbers are asked for more often.
    """

    name: str
    most: int
    window: Window
    subjects: int
    share: float


LIMITS: Final = (
    Limit("limit5", 5, Window.parse("last_2_seconds"), 2_000, 0.75),
    Limit("limit500", 500, Window.parse("last_10_seconds"), 12, 0.25),
)
TOTALS: Final = 64
"""Subjects of the counter `total`, which has every access and no limit."""
_TOTAL_WINDOW: Final = Window.parse("last_day")


def pick(randomness: random.Random) -> tuple[int, int]:
    """A limit's index and a subject."""
    kind = 0 if randomness.random() < LIMITS[0].share else 1
    return kind, int(LIMITS[kind].subjects * randomness.random() ** 2)


def key(kind: int, subject: int) -> CounterKey:
    """What is counted under a limit."""
    return CounterKey(LIMITS[kind].name, (f"s{subject}",))


def total_key(kind: int, subject: int) -> CounterKey:
    """Where an access is counted besides, for good."""
    return CounterKey("total", (f"t{(subject * 2 + kind) % TOTALS}",))


def reads(kind: int, subject: int) -> list[CounterRead]:
    """One access."""
    return [
        CounterRead(key(kind, subject), (LIMITS[kind].window,), thresholds=((LIMITS[kind].most,),)),
        CounterRead(total_key(kind, subject), (_TOTAL_WINDOW,), thresholds=((),)),
    ]


def totals() -> list[CounterRead]:
    """The counts of all accesses."""
    return [
        CounterRead(CounterKey("total", (f"t{number}",)), (_TOTAL_WINDOW,))
        for number in range(TOTALS)
    ]
