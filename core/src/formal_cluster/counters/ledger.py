"""What this instance holds: the folded log, what it has yet to add to it, and the log's clock.

Everything decided from memory happens here, under one lock that is never held over I/O or an
`await`: counting accesses (from any thread) and folding records (on the event loop's thread).
`counters.LogCounters` moves the records between this and the store.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable, Sequence

from formal_cluster.counters.attempts import LocalAttempt, StrictHit
from formal_cluster.counters.books import Books
from formal_cluster.counters.counting import counts_of
from formal_cluster.counters.fold import Record, State
from formal_cluster.counters.folding import Folding
from formal_cluster.counters.frozen import Frozen, freeze, thaw
from formal_cluster.counters.held import announcement
from formal_cluster.counters.load import Load, check_key
from formal_cluster.counters.outbox import Outbox
from formal_cluster.counters.pending import MOST_TIMES, Pending
from formal_cluster.counters.records import Batch, decode, encode
from formal_cluster.counters.reserver import Reserver
from formal_cluster.counters.restoration import LONGEST_LIFE_MS
from formal_cluster.counters.retention import ASKED_EVERY_MS
from formal_cluster.model import Count, CounterKey, CounterRead

_LOOKS_PER_TIDY = 2_000


class Ledger(Books):
    """The counters' memory, and all that is done with it.

    Attributes:
        reserver: The reserved hits, and those who wait for some.
    """

    def __init__(
        self,
        *,
        writer: str,
        state: State,
        outbox: Outbox,
        monotonic_ns: Callable[[], int],
        wall_ns: Callable[[], int],
        on_work: Callable[[], None],
        reserve_life_ms: int = LONGEST_LIFE_MS,
    ) -> None:
        super().__init__(
            writer=writer,
            state=state,
            outbox=outbox,
            monotonic_ns=monotonic_ns,
            wall_ns=wall_ns,
            on_work=on_work,
        )
        self.reserver = Reserver(self, life_ms=reserve_life_ms)
        self._folding = Folding(self, self.reserver)
        self._asked_since = 0

    # ── from any thread ──────────────────────────────────────────────────────────────────────

    def peek(self, reads: Sequence[CounterRead]) -> list[list[Count]]:
        """The present counts."""
        if not self.lock.acquire(False):  # noqa: FBT003 - as in `hit`
            self.wait_for_lock()
        try:
            now = self.now()
            log_now = self.catch_up.clock.now(now)
            pending = self.outbox.pending
            return [counts_of(self, read, pending.get(read.key), now, log_now) for read in reads]
        finally:
            self.lock.release()

    def hit(self, read: CounterRead) -> Sequence[Count]:
        """Count an access that is permitted whatever the counts are; those before it.

        Raises: as `attempt`.
        """
        # As `attempt` and `permit`, at a third of the price.
        key, outbox = read.key, self.outbox
        if not self.lock.acquire(False):  # noqa: FBT003 - by keyword it takes twice as long
            self.wait_for_lock()
        try:
            now = self._monotonic_ns() // 1_000_000
            pending = outbox.pending.get(key)
            counts = counts_of(self, read, pending, now, self.catch_up.clock.now(now))
            if pending is None:
                self._check_key(key)
                pending = outbox.admit(key)
            outbox.hits += 1
            times = pending.times
            if not times:
                outbox.unsent[pending] = None
            times.append(now)
            if len(times) > MOST_TIMES:
                pending.shelve(self.state.resolution(key.counter), outbox.exact_entries)
            if self.idle:
                self.wake()
        finally:
            self.lock.release()
        return counts

    def attempt(self, reads: Sequence[CounterRead]) -> LocalAttempt:
        """Count an access here and now.

        Raises:
            CountersUnavailable: `max_pending` subjects wait for the store.
            InputError: A key cannot be written to the log.
        """
        if not self.lock.acquire(False):  # noqa: FBT003 - as in `hit`
            self.wait_for_lock()
        try:
            now = self._monotonic_ns() // 1_000_000
            log_now = self.catch_up.clock.now(now)
            subjects, counts = [], []
            for read in reads:
                key = read.key
                subject = self.outbox.pending.get(key)
                if subject is None:
                    self._check_key(key)
                    subject = self.outbox.admit(key)
                subjects.append(subject)
                counts.append(counts_of(self, read, subject, now, log_now))
            for subject in subjects:
                subject.open += 1
            revision = self.state.revision
            return LocalAttempt(self, reads, counts, subjects, at=now, revision=revision)
        finally:
            self.lock.release()

    def permit(self, pending: Sequence[Pending], at: int) -> None:
        """An attempt was permitted; for `LocalAttempt`."""
        if not self.lock.acquire(False):  # noqa: FBT003 - as in `hit`
            self.wait_for_lock()
        try:
            for subject in pending:
                self.outbox.permit(subject, at, self.state.resolution(subject.key.counter))
            self.wake()
        finally:
            self.lock.release()

    def deny(self, reads: Sequence[CounterRead], pending: Sequence[Pending], at: int) -> None:
        """An attempt was denied; for `LocalAttempt`."""
        if not self.lock.acquire(False):  # noqa: FBT003 - as in `hit`
            self.wait_for_lock()
        try:
            for read, subject in zip(reads, pending, strict=True):
                if read.count_denied:
                    self.outbox.permit(subject, at, self.state.resolution(read.key.counter))
                    self.wake()
                else:
                    self.outbox.withdraw(subject)
        finally:
            self.lock.release()

    # ── from the event loop's thread ─────────────────────────────────────────────────────────

    def place(self, hit: StrictHit) -> bool:
        """Queue a strict attempt; whether it is the first one there.

        Raises: as `attempt`.
        """
        subjects = self.state.hot
        for read in hit.reads:
            if read.key not in subjects:  # one that the log has is right, and most are
                check_key(read.key)
        return self.outbox.place(hit)

    def waiting(self) -> list[StrictHit]:
        """The strict attempts not folded yet, also those whose callers have given up."""
        return self.outbox.waiting

    def adopt(
        self,
        state: State,
        newest: Sequence[Record] = (),
        revision: int = 0,
        *,
        life: int = 0,
    ) -> None:
        """Go on from a state, after `suspend`. Pending hits stay.

        Args:
            life: The life of the log that the store now has.
            newest: Each writer's newest record, to be folded as far as the state lacks them, even
                if others between them are missing.
            revision: Everything up to here is then in the state.
        """
        with self.lock:
            for record in newest:
                if record.revision > state.revision:
                    state.apply(record)
            state.revision = max(state.revision, revision)
            load = self.outbox.under_way
            position = state.writers.get(self.writer)
            if load and position and (load.epoch, load.seq) == (position.epoch, position.seq):
                self._folding.settle_unseen(load, position.log_time)
            self.state = state
            self.life = life
            self.asked.clear()
            if state.log_time:
                self.catch_up.clock.loaded(state.log_time, self.now())

    def suspend(self) -> None:
        """Take no strict decision until caught up again."""
        with self.lock:
            self.catch_up.restart()
            self.reserver.forget()
            self.outbox.remembrance = None

    def open(self, epoch: int) -> Batch:
        """The first batch of an epoch."""
        with self.lock:
            wall = self.wall()
            log_time = self.state.log_time if self.state.begun else 0
            time = self.catch_up.open(epoch, log_time, self.now(), wall)
            return Batch(
                epoch=epoch,
                seq=1,
                proposed=time.proposed,
                wall=wall,
                sync=time.sync,
                alone=time.alone,
                memory=announcement(self.life, self.held),
            )

    def take(self, *, epoch: int, seq: int, folded: Future[int]) -> Load:
        """The next batch's content."""
        with self.lock:
            load = self.outbox.take(epoch=epoch, seq=seq, folded=folded)
            self.reserver.fill(load)
            more = self.outbox.take_more(load)
        while more:
            self.give_way()
            with self.lock:
                more = self.outbox.take_more(load)
        load.at = self.now()
        return load

    def batch(self, load: Load) -> Batch:
        """The load as it is to be sent at this moment."""
        now = self.now()
        return load.batch(proposed=self.catch_up.clock.now(now), now=now, wall=self.wall())

    def encode(self, load: Load) -> bytes:
        """`batch`, encoded."""
        batch = self.batch(load)
        value = encode(batch)
        load.sent = batch, value
        return value

    def decode(self, value: bytes) -> Batch:
        """A batch in the log. What this instance has just sent it need not decode.

        Raises:
            MalformedRecord: Another version wrote it.
        """
        load = self.outbox.under_way
        if load is not None and load.sent is not None and load.sent[1] == value:
            return load.sent[0]
        return decode(value)

    def fold(self, record: Record) -> None:
        """Apply a record of the log. Duplicates are ignored.

        While a large one is being folded, other threads see a part of it; but each hit of this
        instance all the time, and once.

        Raises:
            Gap: Records were missed, or the log has a new life; `adopt` a state of it.
        """
        slices = self._folding.fold(record)
        while True:
            with self.lock:
                if next(slices, _DONE) is _DONE:
                    return
            self.give_way()

    def forget(self, writer: str, revision: int) -> None:
        """A writer's key was deleted."""
        with self.lock:
            self.state.forget_writer(writer)
            self.state.revision = revision

    def reached(self, revision: int) -> bool:
        """Everything up to a revision is folded; False if that was known to be so before.

        A watch may say less than is known when it moves to a member that lags behind.
        """
        with self.lock:
            if revision < self.state.revision:
                return False
            self.state.revision = revision
            return True

    def tidy(self) -> None:
        """Drop some of the pending hits that no longer count. Once a second."""
        with self.lock:
            now = self.now()
            self.outbox.tidy(now, self.state.resolution, _LOOKS_PER_TIDY)
            if now - self._asked_since >= ASKED_EVERY_MS:
                self._asked_since = now
                self.asked.clear()

    def freeze(self) -> Frozen:
        """The folded state as it is now; end it with `thaw`."""
        with self.lock:
            return freeze(self.state)

    def thaw(self) -> None:
        """The frozen state has been read."""
        with self.lock:
            thaw(self.state)

    # ── the lock is held ─────────────────────────────────────────────────────────────────────

    def _check_key(self, key: CounterKey) -> None:
        # One that the log has is right, and most are.
        if key not in self.state.hot:
            check_key(key)


_DONE = object()
