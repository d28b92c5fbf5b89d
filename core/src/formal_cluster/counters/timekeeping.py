"""This instance's part in keeping log time: answering, correcting, asking. See `clock`.

Everything here is called from the event loop's thread.
"""

from __future__ import annotations

from collections.abc import Collection

from formal_cluster.counters.fence import Fence
from formal_cluster.counters.ledger import Ledger
from formal_cluster.counters.records import Batch


class Timekeeping:
    """Reads and changes a ledger, under its lock.

    Attributes:
        fence: Whether this instance's wall clock agrees with the others'.
    """

    def __init__(self, ledger: Ledger, *, clock_bound_ms: int) -> None:
        self._ledger = ledger
        self.fence = Fence(clock_bound_ms)

    def owes_answer(self, batch: Batch) -> bool:
        """Whether the others are to be told the time after another writer's batch.

        A batch that only tells the time is never answered, so instances do not answer each other.
        """
        with self._ledger.lock:
            return bool(batch.sync or batch.keys) and self._owes_answer()

    def answer(self) -> None:
        """Tell the time with the next batch, unless somebody else just did."""
        with self._ledger.lock:
            if self._owes_answer():
                self._ledger.catch_up.clock.answering(self._ledger.now())
                self._ledger.outbox.clock_due = True

    def asking(self) -> set[str]:
        """The writers that have asked for the time since anybody told it."""
        with self._ledger.lock:
            return set(self._ledger.state.witnesses.asking)

    def nobody_answered(self, present: Collection[str] | None) -> None:
        """Nobody is there who knows the time: the next opening is to say so.

        Args:
            present: Who is there; None if that cannot be told.
        """
        with self._ledger.lock:
            others = self._ledger.state.witnesses.asking.keys() - {self._ledger.writer}
            asking = others if present is None else others & set(present)
            self._ledger.catch_up.nobody_answered(sorted(asking))

    def look_at_clocks(self) -> bool:
        """Compare this instance's wall clock with the others'; whether `fence` changed."""
        ledger = self._ledger
        with ledger.lock:
            if not ledger.catch_up.done:
                return False
            offset = ledger.wall() - ledger.catch_up.clock.now(ledger.now())
            return self.fence.look(ledger.state.witnesses.spread(ledger.writer, offset))

    def _owes_answer(self) -> bool:
        ledger = self._ledger
        return ledger.catch_up.owes_answer(
            ledger.state.log_time, ledger.now(), corrects=not self.fence.fenced
        )
