"""How a record of the log reaches the ledger: its hits are folded, and what was pending is settled.

The lock is held here, but not from start to end of a large record: it is folded in slices, so that
other threads wait a millisecond or two and not as long as it takes. In each slice the hits of this
instance leave the outbox and enter the folded state, so they count all the time, and once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from formal_cluster.counters.attempts import Place, StrictHit
from formal_cluster.counters.books import Books
from formal_cluster.counters.counting import counts_of
from formal_cluster.counters.fold import Gap, Record
from formal_cluster.counters.keys import LOG_ITSELF
from formal_cluster.counters.load import Load
from formal_cluster.counters.outbox import SLICE
from formal_cluster.counters.records import Batch
from formal_cluster.counters.reserver import Reserver
from formal_cluster.counters.restoration import UNSETTLED
from formal_cluster.errors import CountersUnavailable


class Folding:
    """A part of the books."""

    def __init__(self, books: Books, reserver: Reserver) -> None:
        self._books = books
        self._reserver = reserver

    def fold(self, record: Record) -> Iterator[None]:
        """See `Ledger.fold`. It yields where others may have the lock."""
        books, state, batch = self._books, self._books.state, record.batch
        if record.writer == LOG_ITSELF and batch.epoch > books.life:
            raise Gap("the log has a new life, as its store lost something; reading it anew")
        if not state.follows(record):
            return
        load = self._own_load(batch) if record.writer == books.writer else None
        state.begin(record)
        if load is None:
            for start in range(0, len(batch.hits), SLICE):
                state.add_hits(batch, start, start + SLICE)
                yield
            for start in range(0, len(batch.strict), SLICE):
                state.add_strict(batch, start, start + SLICE)
                yield
            state.add_blocks(batch)
        else:
            for start in range(0, len(load.pending), SLICE):
                subjects = load.pending[start : start + SLICE]
                books.outbox.settle(subjects)
                first = load.pending[start - 1][1] if start else 0
                state.add_hits(batch, first, subjects[-1][1])
                yield
            for start in range(0, len(load.strict), SLICE):
                self._fold_strict(load.strict[start : start + SLICE])
                yield
            if load.blocks:
                state.add_blocks(batch, lambda at: self._reserver.grant(load.blocks[at]))
                self._reserver.serve()
            self._landed(load)
        state.end()
        if record.writer == books.writer:
            books.catch_up.folded_own(batch.epoch)
        books.catch_up.folded(state.log_time, books.now(), unanswered=state.unanswered)

    def _own_load(self, batch: Batch) -> Load | None:
        """The load that a batch of this instance is, if it is the one under way."""
        load = self._books.outbox.under_way
        if load is None:
            return None
        if batch.epoch > load.epoch:
            # The later epoch took the key over, so the load's own put can no longer succeed.
            self._books.outbox.give_back(load, self._books.state.resolution)
            return None
        return load if (load.epoch, load.seq) == (batch.epoch, batch.seq) else None

    def _landed(self, load: Load) -> None:
        self._books.outbox.under_way = None
        if not load.folded.done():
            load.folded.set_result(self._books.state.revision)
        if load.remembrance is not None and not load.remembrance.folded.done():
            load.remembrance.folded.set_result(None)

    def _fold_strict(self, hits: Sequence[StrictHit]) -> None:
        """Give each attempt the counts before it, then add it."""
        books, state, now = self._books, self._books.state, self._books.now()
        log_time, stamp = state.log_time, state.stamp
        settled = books.held is None and state.restoration.over(log_time)
        place = Place(books.refund, state.revision, stamp)
        pending, ready, add = books.outbox.pending.get, state.ready(), state.hit
        counter = None
        for hit in hits:
            reads, counts = hit.reads, []
            decided = settled and not hit.done.done()
            for read in reads:
                key = read.key
                record = ready(key)
                if decided:
                    counts.append(counts_of(books, read, pending(key), now, log_time, hits=record))
                if record is None:
                    add(key, log_time, 1)
                    continue
                # As `add`, at half the price.
                if key.counter != counter:
                    counter = key.counter
                    resolution, exact = state.resolution(counter), state.exact(counter)
                record.add(stamp, 1, log_time, resolution, exact)
            if decided:
                hit.place, hit.counts = place, counts
                hit.done.set_result(None)
            else:
                # If it is done, its caller has been told that it could not be decided, or is gone.
                self._refuse(hit, stamp, UNSETTLED)

    def settle_unseen(self, load: Load, log_time: int) -> None:
        """The load is in the log, but what was before it there has not been seen."""
        self._books.outbox.settle(load.pending)
        self._books.outbox.under_way = None
        for hit in load.strict:
            self._refuse(
                hit,
                log_time,
                "the log had to be read anew before the hit's place in it was seen; the hit is "
                "taken back, try again",
            )

    def _refuse(self, hit: StrictHit, log_time: int, why: str) -> None:
        """Take an attempt back that is in the log at `log_time`, and tell its caller."""
        for read in hit.reads:
            self._books.outbox.refund(read.key, log_time)
        self._books.wake()
        if not hit.done.done():
            hit.done.set_exception(CountersUnavailable(why))
