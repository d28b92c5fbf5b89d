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
from collections.abc import Callable

from formal_cluster.counters.attempts import StrictHit
from formal_cluster.counters.load import Load, Remembrance
from formal_cluster.counters.pending import Pending
from formal_cluster.counters.windows import Resolution
from formal_cluster.errors import CountersUnavailable
from formal_cluster.model import CounterKey

Resolutions = Callable[[str], Resolution]


class Outbox:
    """Everything pending, by subject and in the order in which it is to be sent.

    Attributes:
        pending: Per subject, what counts locally.
        hits: Number of permitted hits that the log has not confirmed.
        under_way: The batch being appended.
        clock_due: The others are to be told the time, with or without hits.
        remembrance: What is to be re-appended next.
    """

    def __init__(self, *, max_pending: int, exact_entries: int) -> None:
        self._max_pending = max_pending
        self._exact_entries = exact_entries
        self._unsent: dict[Pending, None] = {}
        self._strict: deque[StrictHit] = deque()
        self._refunds: deque[tuple[CounterKey, int]] = deque()
        self._windows: set[tuple[str, int]] = set()
        self._to_tidy: list[Pending] = []
        self.pending: dict[CounterKey, Pending] = {}
        self.hits = 0
        self.under_way: Load | None = None
        self.clock_due = False
        self.remembrance: Remembrance | None = None

    @property
    def urgent(self) -> bool:
        """Whether somebody waits for the next batch."""
        return self.clock_due or bool(self._strict)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to send."""
        return not (
            self.urgent or self._unsent or self._refunds or self._windows or self.remembrance
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
        self.hits += 1
        if pending.add(at, 1, resolution, self._exact_entries):
            self._unsent[pending] = None

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

    def refund(self, key: CounterKey, at: int) -> None:
        """Take back a hit that is in the log at log time `at`."""
        self._refunds.append((key, at))

    def ask(self, counter: str, length: int) -> None:
        """Have everybody keep hits for a window."""
        window = (counter, length)
        if self.under_way is None or window not in self.under_way.windows:
            self._windows.add(window)

    def take(self, *, epoch: int, seq: int, at: int, folded: Future[int]) -> Load:
        """Put the next batch together, the most urgent first; it is then under way."""
        load = Load(epoch=epoch, seq=seq, at=at, folded=folded)
        load.windows.extend(self._windows)
        self._windows.clear()
        load.remembrance, self.remembrance = self.remembrance, None
        load.take_strict(self._strict)
        while self._refunds and not load.full:
            load.add_refund(*self._refunds.popleft())
        # Newest first: unfair while there is a backlog, but it needs no second queue.
        while self._unsent and not load.full:
            load.add_pending(self._unsent.popitem()[0])
        self.clock_due = False
        self.under_way = load
        return load

    def settle(self, load: Load) -> None:
        """The batch is in the log: its hits count there."""
        self.under_way = None
        for pending in load.pending:
            self.hits -= pending.settle()
            self._drop_if_idle(pending)

    def give_back(self, load: Load, resolutions: Resolutions) -> None:
        """The batch is not in the log and never will be: queue its content again.

        What it was to re-append is not part of that: the next session compares anew.
        """
        self.under_way = None
        keys = list(load.keys)
        self._windows.update(load.windows)
        self._refunds.extendleft((keys[index], at) for index, _, at in reversed(load.refunds))
        self._strict.extendleft(reversed(load.strict))
        for pending in load.pending:
            pending.settle()
        for index, count, age in load.hits:
            pending = self.pending[keys[index]]
            resolution = resolutions(pending.key.counter)
            if pending.add(load.at - age, count, resolution, self._exact_entries):
                self._unsent[pending] = None

    def tidy(self, now: int, resolutions: Resolutions, looks: int) -> None:
        """Look at some subjects, others each time, and drop unsent hits that no longer count."""
        if not self._to_tidy:
            self._to_tidy = list(self.pending.values())
        for pending in self._to_tidy[-looks:]:
            self.hits -= pending.expire(now - resolutions(pending.key.counter).keep)
            if pending.unsent is None:
                self._unsent.pop(pending, None)
            self._drop_if_idle(pending)
        del self._to_tidy[-looks:]

    def _drop_if_idle(self, pending: Pending) -> None:
        if pending.idle and self.pending.get(pending.key) is pending:
            del self.pending[pending.key]
