"""The reserved hits of this instance: who gets them, when further ones are asked for.

`Ledger` calls the methods of the first part with its lock held, as its batches are put together and
come back out of the log. The purses are void when a session ends: what is in them then goes on
counting in the log until it expires.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from asyncio import Future
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass

from formal_cluster.counters.books import Books
from formal_cluster.counters.counting import counts_of
from formal_cluster.counters.load import Load, Reservation, check_key
from formal_cluster.counters.purse import Block, Purse, block_size, hits_left, life_ms
from formal_cluster.counters.restoration import UNSETTLED
from formal_cluster.errors import CountersUnavailable
from formal_cluster.model import Count, CounterKey, CounterRead

_SWEEP_EVERY_S = 0.1
_FORGOTTEN = "the log had to be read anew before the hits asked for were seen in it; try again"
_LATE = "the log did not confirm reserved hits before the deadline; see the store's status"


@dataclass(slots=True, eq=False)
class _Waiter:
    """An access that lacks a token."""

    reads: Sequence[CounterRead]
    done: Future[ReservedAttempt]


class ReservedAttempt:
    """An access with a token of each of its counters (grade `reserved`)."""

    __slots__ = ("_blocks", "_reads", "_reserver", "counts", "revision")

    def __init__(
        self, reserver: Reserver, reads: Sequence[CounterRead], blocks: Sequence[Block]
    ) -> None:
        self.counts = [block.take() for block in blocks]
        self.revision = min((block.revision for block in blocks), default=0)
        self._reserver = reserver
        self._reads = reads
        self._blocks = blocks

    def commit(self) -> None:
        """Permitted: the log holds its hits already."""
        self._blocks = ()

    def cancel(self) -> None:
        """Denied: the tokens are for others now, but for `count_denied`."""
        blocks, self._blocks = self._blocks, ()
        if blocks:
            self._reserver.give_back(self._reads, blocks)


class Reserver:
    """Purses by subject, and the accesses that wait for tokens, first come first served."""

    def __init__(self, books: Books, *, life_ms: int) -> None:
        self._books = books
        self._life_ms = life_ms
        self._purses: dict[CounterKey, Purse] = {}
        self._queue: deque[Purse] = deque()
        self._waiters: deque[_Waiter] = deque()
        self._to_look_at: list[tuple[int, int, Purse]] = []
        self._numbers = itertools.count()

    # ── the lock is held ─────────────────────────────────────────────────────────────────────

    def fill(self, load: Load) -> None:
        """Put the blocks asked for into a batch, as large as they are worth it now."""
        waiting = Counter(
            read.key for waiter in self._waiters if not waiter.done.done() for read in waiter.reads
        )
        books, now = self._books, self._books.now()
        log_now = books.catch_up.clock.now(now)
        writers = books.state.recent_writers()
        while self._queue and not load.full:
            purse = self._queue.popleft()
            read = purse.read
            size = block_size(
                waiting=waiting[read.key],
                demand=purse.demand(now),
                left=hits_left(read, self._counts(read, now, log_now)),
                most=read.block,
                writers=writers,
            )
            if size:
                load.add_block(Reservation(purse, size, purse.life, now))
            else:
                purse.asked = False
        books.outbox.blocks_due = bool(self._queue)

    def grant(self, reservation: Reservation) -> None:
        """A block is about to be folded; what is before it in the log has been."""
        purse, books = reservation.purse, self._books
        now = books.now()
        log_time = books.state.log_time
        counts = self._counts(purse.read, now, log_time)
        block = Block(
            counts,
            size=reservation.size,
            kept=min(reservation.size, hits_left(purse.read, counts)),
            date=books.state.dated(reservation.life),
            # Whoever waits is served now, at the block's own log time, however long it took.
            use_by=max(reservation.asked_at + reservation.life, now),
            revision=books.state.revision,
        )
        purse.asked = False
        if self._purses.get(purse.key) is purse and books.is_settled:
            purse.add(block)
        else:
            block.closed = True
            self._take_back(purse.key, block)

    def serve(self) -> None:
        """Blocks have been folded: give tokens to those who wait, and ask for what they lack."""
        if not self._books.is_settled:
            self._fail_all(UNSETTLED)
        for _ in range(len(self._waiters)):
            waiter = self._waiters.popleft()
            if waiter.done.done():
                continue
            attempt = self._take(waiter.reads)
            if attempt is None:
                self._waiters.append(waiter)
            else:
                waiter.done.set_result(attempt)

    def forget(self) -> None:
        """The session is over, and with it everything reserved in it."""
        for purse in self._purses.values():
            for block in purse.close():
                block.forgotten = True
        self._purses.clear()
        self._to_look_at.clear()
        self._queue.clear()
        self._books.outbox.blocks_due = False
        self._fail_all(_FORGOTTEN)

    # ── from any thread ──────────────────────────────────────────────────────────────────────

    def spend(self, reads: Sequence[CounterRead]) -> ReservedAttempt | None:
        """Take a token for each read, or none at all and ask for those that lack.

        Raises:
            InputError: A subject cannot be written to the log.
        """
        books = self._books
        with books.lock:
            if not books.catch_up.done:
                return None
            for read in reads:
                self._purse(read).note_demand(books.now())
            return self._take(reads)

    async def wait(self, reads: Sequence[CounterRead], *, deadline_s: float) -> ReservedAttempt:
        """Take a token for each read as soon as there are some.

        Raises: as `LogCounters.attempt_reserved`.
        """
        waiter = _Waiter(reads, asyncio.get_running_loop().create_future())
        with self._books.lock:
            attempt = self._take(reads, waiter)
        if attempt is not None:
            return attempt
        try:
            async with asyncio.timeout(deadline_s):
                return await waiter.done
        except (TimeoutError, asyncio.CancelledError) as error:
            if waiter.done.done() and not waiter.done.cancelled() and not waiter.done.exception():
                waiter.done.result().cancel()
            if isinstance(error, TimeoutError):
                raise CountersUnavailable(_LATE) from None
            raise

    def give_back(self, reads: Sequence[CounterRead], blocks: Sequence[Block]) -> None:
        """An access was denied; for `ReservedAttempt`."""
        with self._books.lock:
            for read, block in zip(reads, blocks, strict=True):
                if not read.count_denied:
                    block.taken -= 1
                    self._take_back(read.key, block)

    def take_all_back(self) -> None:
        """Before the instance stops: what is not spent is for the others."""
        with self._books.lock:
            for purse in self._purses.values():
                for block in purse.close():
                    self._take_back(purse.key, block)
            self._purses.clear()  # what is on its way is taken back when it arrives

    async def sweep_forever(self) -> None:
        """Take back what expires unspent, until cancelled."""
        while True:
            await asyncio.sleep(_SWEEP_EVERY_S)
            if self._to_look_at:
                with self._books.lock:
                    self._sweep()

    # ── within ───────────────────────────────────────────────────────────────────────────────

    def _take(
        self, reads: Sequence[CounterRead], waiter: _Waiter | None = None
    ) -> ReservedAttempt | None:
        """Tokens for all reads; if some lack, they are asked for and `waiter` waits."""
        now = self._books.now()
        log_now = self._books.catch_up.clock.now(now)
        purses = [self._purse(read) for read in reads]
        found = [purse.find(log_now, now) for purse in purses]
        blocks = [block for block in found if block is not None]
        if len(blocks) < len(found):
            for purse, block in zip(purses, found, strict=True):
                if block is None:
                    self._ask(purse)
            if waiter is not None:
                self._waiters.append(waiter)
            return None
        attempt = ReservedAttempt(self, reads, blocks)
        for purse in purses:
            if not purse.asked and purse.demand(now) > 1 and purse.runs_low(log_now, now):
                self._ask(purse)
        return attempt

    def _counts(self, read: CounterRead, now: int, log_now: int) -> list[Count]:
        pending = self._books.outbox.pending.get(read.key)
        return counts_of(self._books, read, pending, now, log_now)

    def _purse(self, read: CounterRead) -> Purse:
        purse = self._purses.get(read.key)
        if purse is None:
            check_key(read.key)
        elif purse.read.windows is read.windows or purse.read.windows == read.windows:
            purse.read = read
            return purse
        else:  # a new policy reads other windows, of which these blocks know nothing
            for block in purse.close():
                self._take_back(purse.key, block)
        purse = self._purses[read.key] = Purse(read, life=life_ms(read, self._life_ms))
        self._look_later(purse)
        return purse

    def _ask(self, purse: Purse) -> None:
        if not purse.asked:
            purse.asked = True
            self._queue.append(purse)
            self._books.outbox.blocks_due = True
            self._books.wake()

    def _take_back(self, key: CounterKey, block: Block) -> None:
        hits = block.release()
        if hits:
            self._books.outbox.refund(key, block.date, hits)
            self._books.wake()

    def _sweep(self) -> None:
        now = self._books.now()
        log_now = self._books.catch_up.clock.now(now)
        due = self._to_look_at
        while due and due[0][0] <= now:
            _, _, purse = heapq.heappop(due)
            if self._purses.get(purse.key) is not purse:
                continue
            for block in purse.close_expired(log_now, now):
                self._take_back(purse.key, block)
            if purse.idle(now):
                del self._purses[purse.key]
            else:
                self._look_later(purse)

    def _look_later(self, purse: Purse) -> None:
        """Each purse is looked at again once its first block has expired, so about once a life."""
        now = self._books.now()
        at = max(purse.next_expiry(now), now + 1)
        heapq.heappush(self._to_look_at, (at, next(self._numbers), purse))

    def _fail_all(self, why: str) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done.done():
                waiter.done.set_exception(CountersUnavailable(why))
