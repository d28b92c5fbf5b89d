"""How this instance stands to the others, in one place: pure functions over the parts' statuses."""

from __future__ import annotations

from dataclasses import dataclass

from formal_cluster.cache.status import CacheStatus
from formal_cluster.model import (
    Capability,
    ClusterState,
    CountersStatus,
    Instance,
    StoreState,
    StoreStatus,
)


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """What `Cluster.status()`, `/v1/cluster` and `formal-cluster status` show.

    Attributes:
        reason: Why the state is not `clustered`, with the mend where there is one; else None.
        reachable: Whether the counters' log is followed and current.
        policy_error: Why the newest policy files are not in force; None when they are.
        clock_error_bound_ms: By how many milliseconds this machine's clock may be off; None if no
            discovery driver knows.
        clock_warning: What is wrong with that, with the mend; None if nothing is.
        cache: The shared cache; None if no namespace is declared.
    """

    instance: Instance
    state: ClusterState
    reason: str | None
    reachable: bool
    store: StoreStatus
    counters: CountersStatus
    policy_error: str | None = None
    clock_error_bound_ms: float | None = None
    clock_warning: str | None = None
    cache: CacheStatus | None = None

    @property
    def peers(self) -> int:
        """Other members that are not known to be unhealthy."""
        return peers(self.instance, self.store)


def peers(instance: Instance, store: StoreStatus) -> int:
    """Other members of the store's cluster that are not known to be unhealthy."""
    return sum(m.id != instance.id and m.healthy is not False for m in store.members)


def unseen(condition: ClusterStatus, *, current_within_ms: int) -> int | None:
    """How many other instances may have counted what is not known here; None if unknown."""
    stale_ms = condition.counters.stale_ms
    if stale_ms is None:
        return None
    if stale_ms <= current_within_ms:
        return 0
    return max(condition.counters.writers - 1, condition.peers)


def unreachable(store: StoreStatus, counters: CountersStatus, *, max_stale_ms: int) -> str | None:
    """Why the counters' log cannot be relied on; None when it is followed and current."""
    if store.state is not StoreState.SERVING:
        return store.last_error or f"the store is {store.state}"
    if not counters.caught_up:
        return counters.time_unknown or "the shared counters are being read"
    if counters.stale_ms is None or counters.stale_ms > max_stale_ms:
        return (
            f"the counters are {counters.stale_ms} ms old (counters.max_stale_ms: {max_stale_ms})"
        )
    return None


def assess(
    store: StoreStatus,
    why_unreachable: str | None,
    capabilities: frozenset[Capability],
    unsettled: str | None = None,
) -> tuple[ClusterState, str | None]:
    """The cluster state that follows from the parts, and why it is not `clustered`.

    Args:
        unsettled: Why no strict decision is made though the log is followed.
    """
    if Capability.SHARED not in capabilities:
        return ClusterState.STANDALONE, "the store is not shared with other instances"
    if why_unreachable is None:
        clustered = ClusterState.CLUSTERED if unsettled is None else ClusterState.DEGRADED
        return clustered, unsettled
    if store.stale_ms is None:
        return ClusterState.STANDALONE, why_unreachable
    return ClusterState.DEGRADED, why_unreachable
