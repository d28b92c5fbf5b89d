"""What `attempt` and `attempt_strict` return: an access whose fate the caller decides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from formal_cluster.counters.pending import Pending
from formal_cluster.model import Count, CounterRead

if TYPE_CHECKING:
    from formal_cluster.counters.ledger import Ledger


class LocalAttempt:
    """An access counted in this instance's memory (grade `eventual`).

    Until it is committed or cancelled it counts for every other attempt on this instance.
    """

    __slots__ = ("_at", "_ledger", "_pending", "_reads", "counts", "revision")

    def __init__(
        self,
        ledger: Ledger,
        reads: Sequence[CounterRead],
        counts: Sequence[Sequence[Count]],
        *,
        revision: int,
        pending: Sequence[Pending],
        at: int,
    ) -> None:
        self.counts = counts
        self.revision = revision
        self._ledger = ledger
        self._reads = reads
        self._pending = pending
        self._at = at

    def commit(self) -> None:
        """Permitted: the hits go to the log with the next batch."""
        pending, self._pending = self._pending, ()
        if pending:
            self._ledger.permit(pending, self._at)

    def cancel(self) -> None:
        """Denied: the hits are forgotten and nothing is written, but for `count_denied`."""
        pending, self._pending = self._pending, ()
        if pending:
            self._ledger.deny(self._reads, pending, self._at)


class StrictAttempt:
    """An access in the log (grade `strict`); the counts are those before it in log order."""

    __slots__ = ("_ledger", "_log_time", "_reads", "counts", "revision")

    def __init__(
        self,
        ledger: Ledger,
        reads: Sequence[CounterRead],
        counts: Sequence[Sequence[Count]],
        *,
        revision: int,
        log_time: int,
    ) -> None:
        self.counts = counts
        self.revision = revision
        self._ledger = ledger
        self._reads = reads
        self._log_time = log_time

    def commit(self) -> None:
        """Permitted: the log holds it already."""
        self._reads = ()

    def cancel(self) -> None:
        """Denied: refunds are appended with the next batch, but for `count_denied`."""
        reads, self._reads = self._reads, ()
        keys = [read.key for read in reads if not read.count_denied]
        if keys:
            self._ledger.refund(keys, self._log_time)
