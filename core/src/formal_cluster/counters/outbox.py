"""What this instance has decided, or is deciding, and the log does not hold yet.

A permitted eventual hit counts here until its batch has come back out of the log; from then on it
counts in the folded state instead. At most one batch is under way.

While the store is away unsent hits wait. They are merged as `Hits` merges them and expire like any
others, so they are bounded by subjects, and those by `max_pending`.

Not safe for threads by itself: callers hold the counters' lock. Strict attempts are queued without
it, as only the event loop's thread comes near their queue.
"""

from __future__ import annotations

from asyncio import Future
from collections import deque
from collections.abc import Callable, Iterable

from formal_cluster.counters.attempts import StrictHit
from formal_cluster.counters.load import Load, Remembrance
from formal_cluster.counters.pending import Pending
from formal_cluster.counters.windows import Resolution
from formal_cluster.errors import CountersUnavailable
from formal_cluster.model import CounterKey

SLICE = 1_000
"""Subjects dealt with at a time: they take a millisecond or two, and so long others wait."""

Resolutions = Callable[[str], Resolution]


class Outbox:
    """Everything pending, by subject and in the order in which it is to be sent.

    Attributes:
        pending: Per subject, what counts locally.
        exact_entries: How many of a subject's newest hits are kept one by one in a backlog.
        unsent: Those that have hits for the next batch.
        hits: Number of permitted hits that the log has not confirmed.
        under_way: The batch being appended.
        clock_due: The others are to be told the time, with or without hits.
        blocks_due: Reserved hits are to go into the next batch; whoever takes it adds them.
        remembrance: What is to be re-appended next.
    """

    def __init__(self, *, max_pending: int, exact_entries: int) -> None:
        self._max_pending = max_pending
        self.exact_entries = exact_entries
        self.unsent: dict[Pending, None] = {}
        self._strict: deque[StrictHit] = deque()
        self._refunds: deque[tuple[CounterKey, int, int]] = deque()
        self._windows: set[tuple[str, int]] = set()
        self._to_tidy: list[Pending] = []
        self.pending: dict[CounterKey, Pending] = {}
        self.hits = 0
        self.under_way: Load | None = None
        self.clock_due = False
        self.blocks_due = False
        self.remembrance: Remembrance | None = None

    @property
    def urgent(self) -> bool:
        """Whether somebody waits for the next batch."""
        return self.clock_due or self.blocks_due or bool(self._strict)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to send."""
        return not (
            self.urgent or self.unsent or self._refunds or self._windows or self.remembrance
        )

    @property
    def waiting(self) -> list[StrictHit]:
        """The strict attempts not folded yet, also those whose callers have given up."""
        under_way = self.under_way.strict if self.under_way is not None else []
        return [*under_way, *self._strict]

    def admit(self, key: CounterKey) -> Pending:
        """Make the entry of a subject that has none.

        Raises:
            CountersUnavailable: `max_pending` subjects wait for the log already.
        """
        if len(self.pending) >= self._max_pending:
            raise CountersUnavailable(
                f"{self._max_pending} subjects have hits that the store has not taken yet "
                "(max_pending); see why it does not in the store's status"
            )
        pending = self.pending[key] = Pending(key)
        return pending

    def permit(self, pending: Pending, at: int, resolution: Resolution) -> None:
        """An open attempt of time `at` was permitted."""
        pending.open -= 1
        self.add(pending, at, resolution)

    def add(self, pending: Pending, at: int, resolution: Resolution) -> None:
        """An access of time `at` counts."""
        self.hits += 1
        times = pending.times
        if not times:
            self.unsent[pending] = None
            times.append(at)
        else:
            pending.add(at, resolution, self.exact_entries)

    def withdraw(self, pending: Pending) -> None:
        """An open attempt was denied."""
        pending.open -= 1
        self._drop_if_idle(pending)

    def place(self, hit: StrictHit) -> bool:
        """Queue a strict attempt; whether it is the first one there.

        Raises:
            CountersUnavailable: `max_pending` of them wait for the log already.
        """
        before = len(self._strict)
        if before >= self._max_pending:
            raise CountersUnavailable(
                f"{self._max_pending} strict attempts wait for the log already (max_pending)"
            )
        self._strict.append(hit)
        return not before

    def refund(self, key: CounterKey, at: int, count: int = 1) -> None:
        """Take back hits that are in the log at log time `at`."""
        self._refunds.append((key, count, at))

    def ask(self, counter: str, length: int) -> None:
        """Have everybody keep hits for a window."""
        window = (counter, length)
        if self.under_way is None or window not in self.under_way.windows:
            self._windows.add(window)

    def take(self, *, epoch: int, seq: int, folded: Future[int]) -> Load:
        """Begin the next batch with what is urgent; it is then under way. `take_more` fills it."""
        load = Load(epoch=epoch, seq=seq, folded=folded)
        load.windows.extend(self._windows)
        self._windows.clear()
        load.remembrance, self.remembrance = self.remembrance, None
        load.take_strict(self._strict)
        load.take_refunds(self._refunds)
        self.clock_due = self.blocks_due = False
        self.under_way = load
        return load

    def take_more(self, load: Load) -> bool:
        """Add permitted hits of some subjects to the batch; whether it can take more."""
        return load.take_pending(self.unsent, SLICE)

    def settle(self, pending: Iterable[tuple[Pending, int]]) -> None:
        """These hits of the batch under way are now in the log: they count there."""
        for subject, _ in pending:
            self.hits -= subject.settle()
            if not subject.times and subject.idle:
                del self.pending[subject.key]

    def give_back(self, load: Load, resolutions: Resolutions) -> None:
        """The batch is not in the log and never will be: queue its content again.

        What it was to re-append is not part of that: the next session compares anew.
        """
        self.under_way = None
        keys = load.keys
        self._windows.update(load.windows)
        self._refunds.extendleft(
            (keys[index], count, at) for index, count, at in reversed(load.refunds)
        )
        self._strict.extendleft(reversed(load.strict))
        for pending, _ in load.pending:
            pending.settle()
        for index, count, at in load.hits:
            pending = self.pending[keys[index]]
            resolution = resolutions(pending.key.counter)
            pending.add_many(at, count, resolution, self.exact_entries)
            self.unsent[pending] = None

    def tidy(self, now: int, resolutions: Resolutions, looks: int) -> None:
        """Look at some subjects, others each time, and drop unsent hits that no longer count."""
        if not self._to_tidy:
            self._to_tidy = list(self.pending.values())
        for pending in self._to_tidy[-looks:]:
            self.hits -= pending.expire(now - resolutions(pending.key.counter).keep)
            if not pending.has_unsent:
                self.unsent.pop(pending, None)
            self._drop_if_idle(pending)
        del self._to_tidy[-looks:]

    def _drop_if_idle(self, pending: Pending) -> None:
        if pending.idle and self.pending.get(pending.key) is pending:
            del self.pending[pending.key]
