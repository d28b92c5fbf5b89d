"""What the records say of their writers' wall clocks. Pure, and part of the fold.

Every record carries its writer's wall clock beside its estimate of log time. The difference is the
writer's *offset*: the same for all whose clocks are right, whatever the log began with. So the
offsets show whose clock is off (`fence`), and are what is left to tell the time by when nobody is
there who knows it (`clock`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import median_high, median_low
from typing import NamedTuple

from formal_cluster.counters.keys import LOG_ITSELF
from formal_cluster.counters.records import Batch

_READINGS = 3
"""Offsets kept of a writer. Their median is taken: one record may have been long on its way."""


class Spread(NamedTuple):
    """How one clock stands to the others'.

    Attributes:
        off: Milliseconds that it is ahead of the middle of all clocks; 0 if it is in the middle.
        undecided: Milliseconds between the two clocks in the middle of an even number.
        clocks: How many were compared, this one included.
    """

    off: int
    undecided: int
    clocks: int


class Witnesses:
    """Of each writer in the log its offset, and of those who ask for the time their wall clock.

    Attributes:
        asking: Who has asked since anybody last told the time, and their wall clocks then.
    """

    __slots__ = ("_readings", "asking")

    def __init__(self) -> None:
        self._readings: dict[str, tuple[int, ...]] = {}
        self.asking: dict[str, int] = {}

    @property
    def offsets(self) -> dict[str, int]:
        """Wall clock minus log time, by writer."""
        return {writer: median_low(readings) for writer, readings in self._readings.items()}

    def restore(self, offsets: Mapping[str, int]) -> None:
        """Go on from a snapshot's."""
        self._readings = {writer: (offset,) for writer, offset in offsets.items()}

    def asked(self, writer: str, batch: Batch) -> None:
        """A record asks for the time."""
        if writer != LOG_ITSELF:
            self.asking[writer] = batch.wall

    def told(self, writer: str, batch: Batch, at: int) -> None:
        """A record tells the time: its writer takes it to be `at`."""
        self.asking.clear()
        if writer != LOG_ITSELF:
            readings = (*self._readings.get(writer, ()), batch.wall - at)
            self._readings[writer] = readings[-_READINGS:]

    def forget(self, writer: str) -> None:
        """A writer's key was deleted. The last witness is kept."""
        if len(self._readings) > 1:
            self._readings.pop(writer, None)
        self.asking.pop(writer, None)

    def estimate(self, writer: str, batch: Batch) -> int | None:
        """Log time as wall clocks tell it, when nobody knows it: that of the batch's writer, and of
        those whom it names. The lower median of what each of them tells, so that one is outvoted.

        None if there is nothing to tell by.
        """
        walls = {who: self.asking[who] for who in batch.alone or () if who in self.asking}
        told = [self._told_by(who, wall) for who, wall in {**walls, writer: batch.wall}.items()]
        return median_low(times) if (times := [time for time in told if time is not None]) else None

    def spread(self, writer: str, offset: int) -> Spread:
        """How the clock of `writer`, which is at `offset` now, stands to all others."""
        offsets = [*_of_others(self.offsets, writer), offset]
        low, high = median_low(offsets), median_high(offsets)
        off = max(offset - high, 0) + min(offset - low, 0)
        return Spread(off, high - low, len(offsets))

    def _told_by(self, writer: str, wall: int) -> int | None:
        """The earlier of what a clock says if it is as wrong as it was, and if it is as right as
        the middle one was: too early a time only makes counts too large."""
        offsets = self.offsets
        if not offsets:
            return None
        middle = median_high(offsets.values())
        return wall - max(middle, offsets.get(writer, middle))


def _of_others(offsets: Mapping[str, int], writer: str) -> Iterable[int]:
    return (offset for who, offset in offsets.items() if who != writer)
