"""The clusters that a round of probes finds running, the one that is to stay first. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from formal_cluster_store_etcd.planning.identity import Identity
from formal_cluster_store_etcd.planning.lineage import Lineage, Rank, rank
from formal_cluster_store_etcd.planning.members import ClusterMember
from formal_cluster_store_etcd.planning.observations import LiveEtcd
from formal_cluster_store_etcd.planning.steps import Observation


@dataclass(frozen=True, slots=True)
class RunningCluster:
    """What those that answer say of one cluster.

    Attributes:
        instances: Where its etcds answer, in order.
        serving: Whether any of them reaches a quorum.
        lineage: None while none of them can tell it.
        members: As one of them lists them, one that serves if there is one.
        listed: The members that any of them lists.
    """

    cluster_id: str
    instances: tuple[str, ...]
    serving: bool
    lineage: Lineage | None
    members: tuple[ClusterMember, ...]
    listed: tuple[ClusterMember, ...]

    def __str__(self) -> str:
        return f"cluster {self.cluster_id} runs at {' and '.join(self.instances)}"

    def outranks(self, own: Identity) -> bool:
        """Whether it is known that this cluster stays, and the one of this instance's data goes."""
        return self.lineage is not None and self.lineage.rank > own_rank(own)

    def why(self, own: Identity) -> str:
        """How it compares with the cluster that the instance's data is of."""
        if self.lineage is None:
            return "its lineage is not known"
        if self.lineage.descends_from(own.cluster_id):
            return f"it is epoch {self.lineage.epoch}, restored from a copy of this data"
        return f"it is epoch {self.lineage.epoch}, and the data here of epoch {own.epoch}"


def is_me(entry: ClusterMember, own: Identity) -> bool:
    """Whether a listed member is this instance's, also before it has told its name."""
    return entry.name == own.member or (not entry.name and own.peer_url in entry.peer_urls)


def own_rank(own: Identity) -> Rank:
    """The rank of the cluster that an instance has data of."""
    return rank(own.epoch, own.founded_at, own.cluster_id)


def running_clusters(seen: Observation) -> Sequence[RunningCluster]:
    """All of them, in the order of their ranks; those of unknown lineage last."""
    live = [(id_, p) for id_, p in sorted(seen.probes.items()) if isinstance(p, LiveEtcd)]
    found = [
        _cluster(cluster_id, [(id_, p) for id_, p in live if p.cluster_id == cluster_id])
        for cluster_id in sorted({probe.cluster_id for _, probe in live})
    ]
    return sorted(found, key=_rank_or_last, reverse=True)


def _cluster(cluster_id: str, live: Sequence[tuple[str, LiveEtcd]]) -> RunningCluster:
    # One that serves, if there is one; the smallest id, so that repeated rounds agree.
    _, first = min(live, key=lambda item: (not item[1].serving, item[0]))
    return RunningCluster(
        cluster_id=cluster_id,
        instances=tuple(id_ for id_, _ in live),
        serving=first.serving,
        lineage=next((probe.lineage for _, probe in live if probe.lineage is not None), None),
        members=first.members,
        listed=tuple(member for _, probe in live for member in probe.members),
    )


def _rank_or_last(cluster: RunningCluster) -> tuple[bool, Rank]:
    if cluster.lineage is None:
        return False, rank(0, None, cluster.cluster_id)
    return True, cluster.lineage.rank
