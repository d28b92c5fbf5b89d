"""Counters on a clock that only the timeline moves: those of several instances, and their log.

An instance that is not cut off has all that the others have shared when it is asked, and shares
what it counts at once: what lies between two instances in reality, some milliseconds, is left out.
One that is cut off counts on with what it knew, and shares the rest when it is back. Counts come
from the windows that real counters keep (`counters.windows`), rounded in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from formal_cluster.counters.settings import LogCountersSettings
from formal_cluster.counters.windows import Hits, Resolution
from formal_cluster.hookspecs import ClusterInfo
from formal_cluster.model import ClusterState, Count, CounterKey, CounterRead, CountersStatus
from formal_cluster.protocols import Attempt

_EXACT = int(LogCountersSettings().exact_entries)


class _Hit(NamedTuple):
    """One entry of the log that the instances share."""

    writer: str
    key: CounterKey
    at: int


class Clockwork:
    """The world of one timeline.

    Attributes:
        now: The clock, in milliseconds since the timeline's start.
        log: What has been shared.
    """

    def __init__(self, instances: Sequence[str], lengths: Mapping[str, Sequence[int]]) -> None:
        """Make a world in which nothing has been counted.

        Args:
            instances: Their names.
            lengths: For each counter, the windows that policies read, in milliseconds.
        """
        self.now = 0
        self.log: list[_Hit] = []
        self.resolutions = {name: Resolution(each) for name, each in lengths.items()}
        self.instances = {name: TimelineCounters(self, name) for name in instances}


class TimelineCounters:
    """One instance's counters, which `Counters` in `protocols` describes."""

    def __init__(self, world: Clockwork, name: str) -> None:
        self._world = world
        self._name = name
        self._hits: dict[CounterKey, Hits] = {}
        self._unshared: list[_Hit] = []
        self._position = 0
        self._cut_off = False
        self._heard_at = 0

    def cut_off(self) -> None:
        """From now on, neither hear of the others nor tell them anything."""
        if not self._cut_off:
            self.connect()
        self._cut_off = True

    def connect(self) -> None:
        """Hear of what the others have counted, and tell them what they do not know."""
        self._cut_off = False
        self._heard_at = self._world.now
        log = self._world.log
        for hit in log[self._position :]:
            if hit.writer != self._name:
                self._add(hit)
        log += self._unshared
        self._unshared = []
        self._position = len(log)

    @property
    def info(self) -> ClusterInfo:
        """How this instance stands to the others."""
        peers = len(self._world.instances) - 1
        state = ClusterState.DEGRADED if self._cut_off else ClusterState.CLUSTERED
        return ClusterInfo(
            state,
            stale_ms=self._world.now - self._heard_at,
            peers=peers,
            reachable=not self._cut_off,
            unseen=peers if self._cut_off else 0,
        )

    # ── Counters ─────────────────────────────────────────────────────────────────────────────

    async def start(self) -> None:
        """There is nothing to follow."""

    async def stop(self) -> None:
        """There is nothing to release."""

    def status(self) -> CountersStatus:
        """The present condition."""
        return CountersStatus(
            caught_up=not self._cut_off,
            stale_ms=self._world.now - self._heard_at,
            revision=len(self._world.log),
            log_time_ms=self._world.now,
            subjects=len(self._hits),
            pending=len(self._unshared),
        )

    def peek(self, reads: Sequence[CounterRead]) -> list[list[Count]]:
        """The present counts."""
        return [self._counts(read) for read in reads]

    def attempt(self, reads: Sequence[CounterRead]) -> Attempt:
        """An access, counted once it is known to be permitted: nobody else is asked meanwhile."""
        return _TimelineAttempt(self, reads)

    def hit(self, read: CounterRead) -> Sequence[Count]:
        """An access that is permitted in any case; the counts before it."""
        counts = self._counts(read)
        self.count(read.key)
        return counts

    async def attempt_strict(self, reads: Sequence[CounterRead], *, deadline_s: float) -> Attempt:  # noqa: ARG002 - the Protocol's arguments
        """As `attempt`: here the log has everything already."""
        return _TimelineAttempt(self, reads)

    def count(self, key: CounterKey) -> None:
        """Add a hit, and share it."""
        hit = _Hit(self._name, key, self._world.now)
        self._add(hit)
        self._unshared.append(hit)
        if not self._cut_off:
            self.connect()

    def _add(self, hit: _Hit) -> None:
        hits = self._hits.setdefault(hit.key, Hits())
        resolution = self._world.resolutions[hit.key.counter]
        hits.add(hit.at, 1, self._world.now, resolution, _EXACT)

    def _counts(self, read: CounterRead) -> list[Count]:
        hits = self._hits.get(read.key)
        if hits is None:
            return [Count(0) for _ in read.windows]
        counts = []
        for window in read.windows:
            after = self._world.now - window.length_ms
            doubtful = hits.doubtful(after)
            counts.append(Count(hits.count(after), exact=not doubtful, doubtful=doubtful))
        return counts


class _TimelineAttempt:
    """See `protocols.Attempt`."""

    def __init__(self, counters: TimelineCounters, reads: Sequence[CounterRead]) -> None:
        self.counts = counters.peek(reads)
        self.revision = counters.status().revision
        self._counters = counters
        self._reads = reads

    def commit(self) -> None:
        """Permitted: it counts."""
        reads, self._reads = self._reads, ()
        for read in reads:
            self._counters.count(read.key)

    def cancel(self) -> None:
        """Denied: it counts where denied ones do."""
        reads, self._reads = self._reads, ()
        for read in reads:
            if read.count_denied:
                self._counters.count(read.key)
