"""Wrong counters: limits made in the usual, wrong ways. See `zoo`.

They stand in for core's counters and keep hits in this process, for all instances or for each.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import ClassVar
from weakref import WeakKeyDictionary

from formal_cluster.hookspecs import CountersContext
from formal_cluster.model import Count, CounterKey, CounterRead, CountersStatus
from formal_cluster.protocols import Attempt, StateStore
from formal_cluster_conformance.calls import Traced
from formal_cluster_conformance.counters.attended import Attended
from formal_cluster_conformance.counters.instances import Clock
from formal_cluster_conformance.zoo.healthy import Healthy
from formal_cluster_conformance.zoo.server import Server

_Hits = defaultdict[CounterKey, list[int]]


class _Attempt:
    revision = 0

    def __init__(
        self, hits: _Hits, reads: Sequence[CounterRead], at: int, counts: Sequence[Sequence[Count]]
    ) -> None:
        self.counts = counts
        self._hits = hits
        self._reads = reads
        self._at = at

    def commit(self) -> None:
        """The hits stay."""

    def cancel(self) -> None:
        """They are taken back."""
        for read in self._reads:
            if self._at in self._hits[read.key]:
                self._hits[read.key].remove(self._at)


class Simple:
    """Lists of hits. Takes what `log_counters` takes."""

    def __init__(self, context: CountersContext, clock: Clock, skew_s: float) -> None:
        self._clock = clock
        self._hits = self.hits_of(context.store)

    def hits_of(self, store: StateStore) -> _Hits:
        """The hits of an instance on this store."""
        raise NotImplementedError

    def count(self, hits: Sequence[int], now: int, window_ms: int) -> int:
        """The hits in a window."""
        return sum(now - at < window_ms for at in hits)

    async def start(self) -> None:
        """Nothing to do."""

    async def stop(self) -> None:
        """Nothing to do."""

    def status(self) -> CountersStatus:
        """Always there."""
        return CountersStatus(
            caught_up=True, stale_ms=0, revision=0, log_time_ms=0, subjects=0, pending=0
        )

    def peek(self, reads: Sequence[CounterRead]) -> Sequence[Sequence[Count]]:
        """See `Counters.peek`."""
        now = self._clock() // 1_000_000
        return [
            [Count(self.count(self._hits[r.key], now, window.length_ms)) for window in r.windows]
            for r in reads
        ]

    def attempt(self, reads: Sequence[CounterRead]) -> Attempt:
        """See `Counters.attempt`."""
        counts = self.peek(reads)
        now = self._clock() // 1_000_000
        for read in reads:
            self._hits[read.key].append(now)
        return _Attempt(self._hits, reads, now, counts)

    async def attempt_strict(
        self,
        reads: Sequence[CounterRead],
        *,
        deadline_s: float,
    ) -> Attempt:
        """See `Counters.attempt_strict`."""
        return self.attempt(reads)


class _Shared(Simple):
    _all: ClassVar[WeakKeyDictionary[object, _Hits]] = WeakKeyDictionary()

    def hits_of(self, store: StateStore) -> _Hits:
        """One list for all drivers of a server."""
        return self._all.setdefault(_server(store), defaultdict(list))


class DoubleWindowReset(_Shared):
    """Counts in fixed windows: at the edge twice the limit passes."""

    caught_by = "CO-WINDOW-01"

    def count(self, hits: Sequence[int], now: int, window_ms: int) -> int:
        """Since the present window began, the first one at the first hit."""
        if not hits:
            return 0
        begin = now - (now - hits[0]) % window_ms
        return sum(at >= begin for at in hits)


class CountsAlone(Simple):
    """Decides strictly in the memory of one instance: every instance admits the limit."""

    caught_by = "CO-STRICT-02"

    def hits_of(self, store: StateStore) -> _Hits:
        """Its own."""
        return defaultdict(list)


class ReadsThenAdds(_Shared):
    """Reads the count, waits, then adds its hit: those that wait together are all admitted."""

    caught_by = "CO-STRICT-01"

    async def attempt_strict(
        self,
        reads: Sequence[CounterRead],
        *,
        deadline_s: float,
    ) -> Attempt:
        """The duplicate grant."""
        counts = self.peek(reads)
        await asyncio.sleep(0)
        attempt = self.attempt(reads)
        attempt.counts = counts  # type: ignore[misc]
        return attempt


class ResetOnFailover(_Shared):
    """Keeps its hits where a failover loses them: afterwards everybody begins at zero."""

    caught_by = "FO-KILL-03"

    def __init__(self, context: CountersContext, clock: Clock, skew_s: float) -> None:
        super().__init__(context, clock, skew_s)
        self._server = _server(context.store)
        self._failovers = self._server.failovers

    def peek(self, reads: Sequence[CounterRead]) -> Sequence[Sequence[Count]]:
        """See `Counters.peek`."""
        if self._failovers != self._server.failovers:
            self._failovers = self._server.failovers
            self._hits.clear()
        return super().peek(reads)


class Reserving(_Shared):
    """Also decides by reserved blocks, of one hit each."""

    def spend(self, reads: Sequence[CounterRead]) -> Attempt | None:
        """There is never any left."""
        return None

    async def attempt_reserved(
        self,
        reads: Sequence[CounterRead],
        *,
        deadline_s: float,
    ) -> Attempt:
        """See `ReservingCounters.attempt_reserved`."""
        return await self.attempt_strict(reads, deadline_s=deadline_s)


class ReservesForItself(Reserving):
    """Takes reserved hits out of blocks that the others never hear of."""

    caught_by = "CO-RESERVED-01"

    def hits_of(self, store: StateStore) -> _Hits:
        """Its own."""
        return defaultdict(list)


class SpendsLostBlocks(Reserving):
    """Keeps its reserved hits where a failover loses them."""

    caught_by = "FO-KILL-04"

    def __init__(self, context: CountersContext, clock: Clock, skew_s: float) -> None:
        super().__init__(context, clock, skew_s)
        self._server = _server(context.store)
        self._failovers = self._server.failovers

    async def attempt_reserved(
        self,
        reads: Sequence[CounterRead],
        *,
        deadline_s: float,
    ) -> Attempt:
        """What was counted before the last failover is forgotten."""
        if self._failovers != self._server.failovers:
            self._failovers = self._server.failovers
            self._hits.clear()
        return await super().attempt_reserved(reads, deadline_s=deadline_s)


class DropsWhatItCannotWrite(_Shared):
    """Forgets the eventual hits that it could not write at once."""

    caught_by = "FO-KILL-05"

    def __init__(self, context: CountersContext, clock: Clock, skew_s: float) -> None:
        super().__init__(context, clock, skew_s)
        self._server = _server(context.store)

    def attempt(self, reads: Sequence[CounterRead]) -> Attempt:
        """Permitted, and written nowhere."""
        attempt = super().attempt(reads)
        if self._server.away:
            attempt.cancel()
        return attempt


def _server(store: StateStore) -> Server:
    assert isinstance(store, Attended)
    assert isinstance(store.driver, Traced)
    assert isinstance(store.driver.driver, Healthy)
    return store.driver.driver.server


KINDS: tuple[type[Simple], ...] = (
    DoubleWindowReset,
    CountsAlone,
    ReadsThenAdds,
    ResetOnFailover,
    ReservesForItself,
    SpendsLostBlocks,
    DropsWhatItCannotWrite,
)
