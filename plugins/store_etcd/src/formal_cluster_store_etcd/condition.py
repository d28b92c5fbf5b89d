"""The store's condition, put together from what the supervisor's parts know. No I/O."""

from __future__ import annotations

from typing import Final

from formal_cluster.model import Member, Role, StoreState, StoreStatus
from formal_cluster_store_etcd.peers.cluster_watch import ClusterWatch
from formal_cluster_store_etcd.planning.members import ClusterMember
from formal_cluster_store_etcd.supervisor import Supervisor
from formal_cluster_store_etcd.urls import endpoint_of

_SERVING_S: Final = 2.0


def condition(supervisor: Supervisor) -> StoreStatus:
    """What `StateStore.status` answers while the store runs. Callable from any thread."""
    watch = supervisor.watch
    stale_s = watch.stale_s
    state, last_error = _state(supervisor, stale_s)
    seen = watch.seen
    leader = next((member for member in seen.members if member.id == seen.leader), None)
    return StoreStatus(
        state=state,
        role=_own_role(watch),
        leader=watch.instance_of(leader) if leader is not None else None,
        members=tuple(
            Member(
                id=watch.instance_of(member),
                address=endpoint_of(member.peer_urls[0]).host,
                role=_role(member),
                healthy=member.id in seen.healthy,
            )
            for member in seen.members
        ),
        cluster_id=watch.cluster_id,
        revision=watch.revision,
        stale_ms=None if stale_s is None else round(stale_s * 1_000),
        last_error=last_error,
        warnings=supervisor.warnings,
    )


def _state(supervisor: Supervisor, stale_s: float | None) -> tuple[StoreState, str | None]:
    runner = supervisor.runner
    if supervisor.crash is not None:
        return StoreState.FAILED, supervisor.crash
    if runner.rivalled:
        return StoreState.FAILED, runner.advice
    if stale_s is not None and stale_s < _SERVING_S:
        why = supervisor.unwritable
        return (StoreState.READ_ONLY, why) if why is not None else (StoreState.SERVING, None)
    if stale_s is not None:
        why = runner.problem or runner.advice or "mend the network, or wait for a new leader"
        return StoreState.NO_QUORUM, f"no quorum has answered for {stale_s:.0f} s: {why}"
    if runner.problem is not None:
        return StoreState.FAILED, runner.problem
    return StoreState.STARTING, runner.waiting_for


def _own_role(watch: ClusterWatch) -> Role | None:
    own = watch.own()
    if own is not None:
        return _role(own)
    return Role.CLIENT if watch.following else None


def _role(member: ClusterMember) -> Role:
    return Role.LEARNER if member.is_learner else Role.VOTER
