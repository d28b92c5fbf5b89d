"""What `attempt` and `attempt_strict` return: an access whose fate the caller decides."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from formal_cluster.counters.pending import Pending
from formal_cluster.model import Count, CounterKey, CounterRead


class Counted(Protocol):
    """Where a local attempt was counted."""

    def permit(self, pending: Sequence[Pending], at: int) -> None:
        """It was permitted."""

    def deny(self, reads: Sequence[CounterRead], pending: Sequence[Pending], at: int) -> None:
        """It was denied."""


class LocalAttempt:
    """An access counted in this instance's memory (grade `eventual`).

    Until it is committed or cancelled it counts for every other attempt on this instance.
    """

    __slots__ = ("_at", "_counted", "_pending", "_reads", "counts", "revision")

    def __init__(
        self,
        counted: Counted,
        reads: Sequence[CounterRead],
        counts: Sequence[Sequence[Count]],
        pending: Sequence[Pending],
        *,
        at: int,
        revision: int,
    ) -> None:
        self.counts = counts
        self.revision = revision
        self._counted = counted
        self._reads = reads
        self._pending = pending
        self._at = at

    def commit(self) -> None:
        """Permitted: the hits go to the log with the next batch."""
        pending, self._pending = self._pending, ()
        if pending:
            self._counted.permit(pending, self._at)

    def cancel(self) -> None:
        """Denied: the hits are forgotten and nothing is written, but for `count_denied`."""
        pending, self._pending = self._pending, ()
        if pending:
            self._counted.deny(self._reads, pending, self._at)


class Place(NamedTuple):
    """Where in the log an attempt is; all those of one batch share it.

    Attributes:
        refund: Takes hits back that are there.
    """

    refund: Callable[[Sequence[CounterKey], int], None]
    revision: int
    log_time: int


class StrictHit:
    """An access for the log (grade `strict`): on its way, then what its caller gets.

    Attributes:
        reads: What it counts on; empty once it is committed or cancelled.
        deadline: Event loop time at which its caller is told that it could not be decided.
        done: Done when its fate is known. If that is a `place` in the log, `counts` are those
            before it in log order.
    """

    # One object from queue to caller, as there is one of these for each decision.
    __slots__ = ("counts", "deadline", "done", "place", "reads")

    counts: Sequence[Sequence[Count]]
    place: Place

    def __init__(self, reads: Sequence[CounterRead], deadline: float, done: Future[None]) -> None:
        self.reads = reads
        self.deadline = deadline
        self.done = done

    @property
    def revision(self) -> int:
        """Store revision the counts are current to."""
        return self.place.revision

    def commit(self) -> None:
        """Permitted: the log holds it already."""
        self.reads = ()

    def cancel(self) -> None:
        """Denied: refunds are appended with the next batch, but for `count_denied`."""
        reads, self.reads = self.reads, ()
        keys = [read.key for read in reads if not read.count_denied]
        if keys:
            self.place.refund(keys, self.place.log_time)
