"""Decides how an instance becomes part of the cluster, one step at a time. Pure.

`plan` is asked again and again, each time with a new round of probes. An instance with data starts
its etcd again; one without joins a cluster that runs, first as a client, then, when the leader has
added it, as a member; `genesis` decides what happens while no cluster runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from formal_cluster_store_etcd.planning import genesis
from formal_cluster_store_etcd.planning.identity import Identity, Stage
from formal_cluster_store_etcd.planning.members import ClusterMember
from formal_cluster_store_etcd.planning.observations import LiveEtcd
from formal_cluster_store_etcd.planning.steps import (
    Join,
    Observation,
    Retract,
    Rules,
    SetAside,
    Start,
    Step,
    Wait,
    retract_or_wait,
)


def plan(seen: Observation, rules: Rules) -> Step:
    """The next step, with what speaks for it."""
    live = _live(seen)
    if len({probe.cluster_id for probe in live.values()}) > 1:
        return retract_or_wait(
            seen,
            f"different clusters run: {_name_clusters(live)}. Stop all instances of all but the "
            "one whose data is wanted, move their data directories away, and start them again",
        )
    if seen.own.has_data:
        return _plan_with_data(seen, live)
    if live:
        return _plan_join(seen, live)
    if seen.expected is None:
        return retract_or_wait(
            seen, "discovery gives no complete answer that names this instance; see its settings"
        )
    return genesis.plan(seen, rules, seen.expected)


def _plan_with_data(seen: Observation, live: Mapping[str, LiveEtcd]) -> Step:
    own = seen.own
    if not live:
        return Start("has data; no other instance's etcd answers", _alone(own))
    cluster_id = next(iter(live.values())).cluster_id
    mine = [entry for probe in live.values() for entry in probe.members if _is_me(entry, own)]
    if own.cluster_id not in (None, cluster_id) or (own.cluster_id is None and not mine):
        return Wait(
            f"the data here is of cluster {own.cluster_id or 'a cluster founded here'}, but "
            f"{_name_clusters(live)}. If that one's data is wanted, stop this instance, move its "
            "data directory away and start it again"
        )
    serving = any(probe.serving for probe in live.values())
    if serving and not mine:
        return SetAside(f"{_name_clusters(live)} without member {own.member}: it was removed")
    if serving and own.peer_url != seen.peer_url:
        return SetAside(
            f"the address was {own.peer_url} and is {seen.peer_url}; {_name_clusters(live)} and "
            "serves without this member"
        )
    if own.stage is Stage.FOUNDING:
        return Start(f"has data and is a member; {_name_clusters(live)}", None)
    return Start(
        f"has data and is a member; {_name_clusters(live)}",
        _initial_cluster(_best(live), own) if mine else _alone(own),
    )


def _alone(own: Identity) -> Mapping[str, str] | None:
    return None if own.stage is Stage.FOUNDING else {own.member: own.peer_url}


def _is_me(entry: ClusterMember, own: Identity) -> bool:
    return entry.name == own.member or (not entry.name and own.peer_url in entry.peer_urls)


def _plan_join(seen: Observation, live: Mapping[str, LiveEtcd]) -> Step:
    if seen.own.stage is Stage.INTENDING:
        return Retract(_name_clusters(live))
    cluster = _best(live)
    if not cluster.serving:
        return Wait(
            f"{_name_clusters(live)} without a quorum. Start enough of its members "
            f"({_name_members(cluster.members)}) and this instance joins; if too much of their "
            "data is lost for good, restore a backup or start all instances with empty directories"
        )
    added = any(
        entry.is_learner and not entry.name and seen.peer_url in entry.peer_urls
        for entry in cluster.members
    )
    if added:
        return Start(
            f"{_name_clusters(live)} and has added {seen.peer_url}",
            _initial_cluster(cluster, seen.own),
            cluster.cluster_id,
        )
    return Join(_name_clusters(live), cluster.cluster_id, cluster.members)


def _initial_cluster(cluster: LiveEtcd, own: Identity) -> Mapping[str, str]:
    """etcd wants the list it will find: every member's URLs, and any name for an unnamed one."""
    return {
        (own.member if _is_me(entry, own) else entry.name or f"unnamed-{entry.id:x}"): url
        for entry in cluster.members
        for url in entry.peer_urls[:1]
    }


def _live(seen: Observation) -> Mapping[str, LiveEtcd]:
    return {id_: probe for id_, probe in seen.probes.items() if isinstance(probe, LiveEtcd)}


def _best(live: Mapping[str, LiveEtcd]) -> LiveEtcd:
    """One that serves, if there is one; the smallest id, so that repeated rounds agree."""
    return min(live.items(), key=lambda item: (not item[1].serving, item[0]))[1]


def _name_clusters(live: Mapping[str, LiveEtcd]) -> str:
    clusters = sorted({probe.cluster_id for probe in live.values()})
    return ", ".join(
        f"cluster {cluster} runs at "
        + " and ".join(sorted(id_ for id_, probe in live.items() if probe.cluster_id == cluster))
        for cluster in clusters
    )


def _name_members(members: Sequence[ClusterMember]) -> str:
    return ", ".join(sorted(member.name or "one not started yet" for member in members))
