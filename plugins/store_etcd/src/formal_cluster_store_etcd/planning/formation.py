"""Decides how an instance becomes part of the cluster, one step at a time. Pure.

`plan` is asked again and again, each time with a new round of probes. An instance with data starts
its etcd again; one without joins a cluster that runs, first as a client, then, when the leader has
added it, as a member. Data of a cluster that another one outranks (see `lineage`) is set aside.
`genesis` decides what happens while no cluster runs and nobody has data, `recovery` when the data
there is can no longer get a quorum.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from formal_cluster_store_etcd.planning import gate, genesis, recovery
from formal_cluster_store_etcd.planning.clusters import (
    RunningCluster,
    is_me,
    running_clusters,
)
from formal_cluster_store_etcd.planning.identity import Identity, Stage
from formal_cluster_store_etcd.planning.members import ClusterMember
from formal_cluster_store_etcd.planning.observations import NoEtcd
from formal_cluster_store_etcd.planning.steps import (
    Join,
    Observation,
    Restore,
    Rules,
    SetAside,
    Start,
    Step,
    Wait,
    retract_or_wait,
)


def plan(seen: Observation, rules: Rules) -> Step:
    """The next step, with what speaks for it."""
    clusters = running_clusters(seen)
    if len(clusters) > 1 and any(c.lineage is None and c.serving for c in clusters):
        return retract_or_wait(seen, _describe_unknown(clusters))
    cluster = clusters[0] if clusters else None
    if seen.own.has_data:
        return _plan_with_data(seen, rules, cluster)
    if cluster is not None:
        return _plan_join(seen, cluster)
    if seen.expected is None:
        return retract_or_wait(
            seen, "discovery gives no complete answer that names this instance; see its settings"
        )
    return recovery.plan(seen, rules) or genesis.plan(seen, rules, seen.expected)


def _plan_with_data(seen: Observation, rules: Rules, cluster: RunningCluster | None) -> Step:
    own = seen.own
    if cluster is None:
        return _plan_alone(seen, rules)
    mine = [entry for entry in cluster.listed if is_me(entry, own)]
    if own.cluster_id not in (None, cluster.cluster_id) or (own.cluster_id is None and not mine):
        return _plan_beside(seen, rules, cluster)
    if own.stage is Stage.RESTORING:
        return _go_on_restoring(own)
    if cluster.serving and not mine:
        return SetAside(f"{cluster} without member {own.member}: it was removed")
    if cluster.serving and _has_moved(seen, [url for entry in mine for url in entry.peer_urls]):
        return SetAside(
            f"the address was {own.peer_url} and is {seen.peer_url}; {cluster} and serves without "
            "this member"
        )
    if cluster.serving and own.fenced:
        return recovery.plan_return(seen, f"{cluster} and serves")
    step = None if cluster.serving else recovery.plan(seen, rules)
    if step is not None:
        return step
    if own.stage is Stage.FOUNDING:
        return Start(f"has data and is a member; {cluster}", None)
    return Start(
        f"has data and is a member; {cluster}",
        _initial_cluster(cluster, own) if mine else _alone(own),
    )


def _plan_beside(seen: Observation, rules: Rules, cluster: RunningCluster) -> Step:
    """Another cluster runs than the one this instance has data of."""
    own = seen.own
    data = f"the data here is of cluster {own.cluster_id or 'that was founded here'}"
    if cluster.outranks(own):
        if cluster.serving:
            return SetAside(f"{data}, but {cluster}: {cluster.why(own)}")
        return retract_or_wait(
            seen,
            f"{data}, but {cluster} without a quorum: {cluster.why(own)}. Start enough of its "
            f"members ({_name_members(cluster.members)}), and this instance joins it",
        )
    if cluster.lineage is None:
        return retract_or_wait(
            seen,
            f"{data}, but {cluster}. If that one's data is wanted, stop this instance, move its "
            "data directory away and start it again",
        )
    return _plan_alone(seen, rules)


def _plan_alone(seen: Observation, rules: Rules) -> Step:
    """Nothing runs that this instance could be a part of but by its own data."""
    own = seen.own
    if own.stage is Stage.RESTORING:
        return _go_on_restoring(own)
    step = recovery.plan(seen, rules)
    if step is not None:
        return step
    newer = _newer_holders(seen)
    if newer:
        return Wait(
            f"{' and '.join(newer)} may have newer data of the cluster than this instance, and no "
            f"etcd runs there yet. {recovery.ASK_OPERATOR}"
        )
    if _has_moved(seen, [gate.newest_voters(seen).get(own.member, "")]):
        return Wait(
            f"the address was {own.peer_url} and is {seen.peer_url}, where the other members would "
            f"not find this one; waiting for them. {recovery.ASK_OPERATOR}"
        )
    return Start("has data; no other instance's etcd of its cluster answers", _alone(own))


def _has_moved(seen: Observation, listed: Sequence[str]) -> bool:
    """Whether this instance is where the other members would not find it.

    Args:
        listed: Where they look for it. Its address may have been changed there since it joined.
    """
    return seen.peer_url != seen.own.peer_url and seen.peer_url not in listed


def _go_on_restoring(own: Identity) -> Step:
    assert own.source is not None
    return Restore(f"the restoration for epoch {own.epoch} has begun", own.source)


def _newer_holders(seen: Observation) -> Sequence[str]:
    own = seen.own
    statuses = [probe.status for probe in seen.probes.values() if isinstance(probe, NoEtcd)]
    return sorted(
        status.instance
        for status in statuses
        if (status.has_data and status.epoch > own.epoch)
        or (status.restoring and max(status.fence, status.epoch) > own.epoch)
    )


def _alone(own: Identity) -> Mapping[str, str] | None:
    return None if own.stage is Stage.FOUNDING else {own.member: own.peer_url}


def _plan_join(seen: Observation, cluster: RunningCluster) -> Step:
    if seen.own.stage is Stage.INTENDING or seen.own.intends_restore:
        return retract_or_wait(seen, str(cluster))
    if not cluster.serving:
        return Wait(
            f"{cluster} without a quorum. Start enough of its members "
            f"({_name_members(cluster.members)}) and this instance joins. {recovery.ASK_OPERATOR}"
        )
    added = any(
        entry.is_learner and not entry.name and seen.peer_url in entry.peer_urls
        for entry in cluster.members
    )
    if added and cluster.lineage is not None:
        return Start(
            f"{cluster} and has added {seen.peer_url}",
            _initial_cluster(cluster, seen.own),
            cluster.cluster_id,
            cluster.lineage,
            {m.name: m.peer_urls[0] for m in cluster.members if m.name and not m.is_learner},
        )
    return Join(str(cluster), cluster.cluster_id, cluster.members, cluster.lineage)


def _initial_cluster(cluster: RunningCluster, own: Identity) -> Mapping[str, str]:
    """etcd wants the list it will find: every member's URLs, and any name for an unnamed one."""
    return {
        (own.member if is_me(entry, own) else entry.name or f"unnamed-{entry.id:x}"): url
        for entry in cluster.members
        for url in entry.peer_urls[:1]
    }


def _describe_unknown(clusters: Sequence[RunningCluster]) -> str:
    return (
        f"different clusters run: {', '.join(sorted(map(str, clusters)))}, and it is not known "
        "which is to stay. Stop all instances of all but the one whose data is wanted, move their "
        "data directories away, and start them again"
    )


def _name_members(members: Sequence[ClusterMember]) -> str:
    return ", ".join(sorted(member.name or "one not started yet" for member in members))
