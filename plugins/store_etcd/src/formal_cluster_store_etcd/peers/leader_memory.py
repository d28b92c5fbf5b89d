"""What the leader remembers from one look to the next: how long things have been as they are.

Made anew whenever this instance becomes the leader, so that nothing it did not see counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from formal_cluster_store_etcd.peers.cluster_watch import Members
from formal_cluster_store_etcd.peers.since import Since
from formal_cluster_store_etcd.planning.changes import SeenMember
from formal_cluster_store_etcd.planning.members import ClusterMember, in_sync
from formal_cluster_store_etcd.planning.presence import Presence

_FIRST_BACKOFF_S: Final = 300.0
_LONGEST_BACKOFF_S: Final = 3_600.0


class LeaderMemory:
    """How long members have been silent, learners stalled, instances leaving.

    Attributes:
        add_refused: Whether the cluster refused to add the last learner because a voter is silent.

    Args:
        clock: Seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._healthy: Since[int] = Since(clock)
        self._silent: Since[int] = Since(clock)
        self._stalled: Since[tuple[int, int]] = Since(clock)
        self._leaving: Since[str] = Since(clock)
        self._settled: Since[frozenset[str]] = Since(clock)
        self._evictions: dict[str, tuple[float, float]] = {}
        self.add_refused = False

    def assess(self, listed: Sequence[ClusterMember], seen: Members) -> tuple[SeenMember, ...]:
        """The members as they are listed, with how they do by the last look at each."""
        healthy = self._healthy.update(seen.healthy)
        silent = self._silent.update(m.id for m in listed if m.id not in seen.healthy)
        index = {m.id: seen.statuses[m.id].raft_index for m in listed if m.id in seen.statuses}
        newest = max((index.get(m.id, 0) for m in listed if not m.is_learner), default=0)
        behind = (m for m in listed if m.is_learner and not in_sync(index.get(m.id, 0), newest))
        stalled = self._stalled.update((m.id, index.get(m.id, 0)) for m in behind)
        return tuple(
            SeenMember(
                id=member.id,
                name=member.name,
                peer_urls=member.peer_urls,
                is_learner=member.is_learner,
                healthy=member.id in seen.healthy,
                index=index.get(member.id, 0),
                healthy_s=healthy.get(member.id, 0.0),
                silent_s=silent.get(member.id, 0.0),
                stalled_s=stalled.get((member.id, index.get(member.id, 0)), 0.0),
            )
            for member in listed
        )

    def leaving_s(self, presences: Sequence[Presence]) -> dict[str, float]:
        """How long each instance has been leaving."""
        return dict(self._leaving.update(p.instance for p in presences if p.draining))

    def settled_s(self, presences: Sequence[Presence]) -> float:
        """How long the same instances have been there to stay."""
        there = frozenset(p.instance for p in presences if not p.draining)
        return self._settled.update([there])[there]

    def evict(self, instance: str) -> None:
        """Its learner is being evicted: leave it alone for a while, each time for longer."""
        _, backoff_s = self._evictions.get(instance, (0.0, _FIRST_BACKOFF_S / 2))
        backoff_s = min(2 * backoff_s, _LONGEST_BACKOFF_S)
        self._evictions[instance] = self._clock() + backoff_s, backoff_s

    @property
    def evicted(self) -> frozenset[str]:
        """Instances to be left alone now."""
        now = self._clock()
        return frozenset(id_ for id_, (until, _) in self._evictions.items() if now < until)
