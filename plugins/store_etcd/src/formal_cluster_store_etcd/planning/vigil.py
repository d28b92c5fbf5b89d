"""Decides whether an etcd that runs is to be stopped. Pure; `formation` decides what comes then.

It is stopped only if that is known to help: its cluster cannot have a quorum any more (see `gate`),
or goes on without it, or another cluster serves that outranks its own (see `lineage`). A member
that merely has no leader is left running: with the others it may be what the cluster needs.
"""

from __future__ import annotations

from dataclasses import dataclass

from formal_cluster_store_etcd.planning.clusters import is_me, running_clusters
from formal_cluster_store_etcd.planning.gate import Quorum, look
from formal_cluster_store_etcd.planning.recovery import ASK_OPERATOR
from formal_cluster_store_etcd.planning.steps import Observation, Rules


@dataclass(frozen=True, slots=True)
class KeepRunning:
    """Leave it.

    Attributes:
        advice: What an operator can do for it; None if all is well.
        rivalled: Whether another cluster runs that may be the one to stay.
    """

    evidence: str
    advice: str | None = None
    rivalled: bool = False


@dataclass(frozen=True, slots=True)
class StopEtcd:
    """Stop it, and look for a place in the cluster anew."""

    evidence: str


def plan(seen: Observation, leaderless_s: float, rules: Rules) -> KeepRunning | StopEtcd:
    """What to do about an etcd that runs on the data of `seen.own`.

    Args:
        leaderless_s: How long no quorum of its cluster has answered.
    """
    for cluster in running_clusters(seen):
        if cluster.cluster_id == seen.own.cluster_id:
            gone = cluster.serving and not any(is_me(m, seen.own) for m in cluster.listed)
            if gone and leaderless_s >= rules.leaderless_s:
                # All others may have moved: then nobody is where it could be told so.
                return StopEtcd(f"{cluster} and serves without this member: it was removed")
            continue
        if cluster.outranks(seen.own) and cluster.serving:
            return StopEtcd(f"{cluster} too, and is to stay: {cluster.why(seen.own)}")
        if cluster.outranks(seen.own) or (cluster.lineage is None and cluster.serving):
            advice = (
                f"{cluster} too, and may be the one to stay. Start enough of its members "
                "and this instance joins it, or stop all of its members"
            )
            return KeepRunning(advice, advice, rivalled=True)
    if leaderless_s < rules.leaderless_s:
        return KeepRunning("a quorum answers")
    if seen.expected is None:
        return KeepRunning(
            "no leader", "discovery gives no complete answer that names this instance"
        )
    gate = look(seen)
    if gate.quorum is Quorum.IMPOSSIBLE:
        return StopEtcd(f"no leader for {rules.leaderless_s:.0f} s; {gate.evidence}")
    return KeepRunning(gate.evidence, f"{gate.evidence}. {ASK_OPERATOR}")
