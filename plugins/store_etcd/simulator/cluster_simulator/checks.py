"""What must hold at every moment, and in the end. A violation is noted in `World.wrongs`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cluster_simulator.contents import Contents
from cluster_simulator.raft import Replica
from cluster_simulator.world import Node, World
from formal_cluster.model import Instance, InstanceState, View
from formal_cluster_store_etcd.names import is_member_of
from formal_cluster_store_etcd.planning.changes import Change, Observation, Promote, Remove
from formal_cluster_store_etcd.planning.identity import Stage
from formal_cluster_store_etcd.planning.roster import target_voters


def check_now(world: World) -> None:
    """After each step: one cluster that can commit, and no etcd on fenced data."""
    clusters: dict[str, list[tuple[Node, Replica]]] = {}
    for node, replica in world.running:
        if node.own.fenced:
            world.object(f"the etcd of {node.id} runs, which is fenced for {node.own.fence}")
        clusters.setdefault(replica.cluster_id, []).append((node, replica))
    able = [cluster_id for cluster_id, running in clusters.items() if _can_commit(running)]
    if len(able) > 1:
        world.object(f"two clusters can commit: {' and '.join(sorted(able))}")


def check_founding(world: World, founder: Node) -> None:
    """A cluster is founded only if nobody has data of another."""
    for node, replica in _living_data(world):
        if replica.log:
            world.object(f"{founder.id} founds a cluster, and {node.id} has data of another")
            break
    world.acknowledged.clear()


def check_restoration(world: World, source: Node, contents: Contents) -> None:
    """Before a cluster is restored: everyone else is fenced, and nothing is lost."""
    for node in world.living:
        own = node.disk.identity
        if node is source or own is None or node.disk.replica is None or not own.has_data:
            continue
        if node.disk.replica.log and own.epoch < source.own.epoch and not own.fenced:
            world.object(f"{source.id} restores the cluster, and {node.id} is not fenced")
    missing = world.acknowledged - contents.writes
    held = {write for _, replica in _living_data(world) for write in replica.writes}
    if missing & held:
        world.object(f"{source.id} restores the cluster without writes that others have")
    world.acknowledged -= missing


def check_deletion(world: World, node: Node, lost: Replica) -> None:
    """Data that was set aside is deleted only if what is in it is elsewhere too."""
    wanted = lost.writes & world.acknowledged
    if not wanted:
        return
    held = {write for _, replica in _living_data(world) for write in replica.writes}
    if wanted - held:
        world.object(f"{node.id} deletes the last copy of writes")


def check_change(world: World, seen: Observation, step: Change) -> None:
    """A change of the members rests on a view that is good enough for it."""
    view, cap = seen.view, seen.rules.voters
    if view is None or seen.own_instance not in {instance.id for instance in view.instances}:
        world.object(f"{type(step).__name__} on a discovery view that failed")
    elif isinstance(step, Remove):
        wrong = _why_not_removed(seen, view, step.member_id)
        if wrong is not None:
            world.object(wrong)
    voters = sum(not member.is_learner for member in seen.members) + isinstance(step, Promote)
    if voters > cap + 1:
        world.object(f"{voters} voters, where {cap} are allowed")


def _why_not_removed(seen: Observation, view: View, member_id: int) -> str | None:
    removed = next(member for member in seen.members if member.id == member_id)
    draining = [p for p in seen.presences if p.draining]
    leaves = any(p.member == removed.name or p.peer_url in removed.peer_urls for p in draining)
    if not view.complete and not leaves:
        return "a member is removed on an incomplete discovery view"
    if removed.is_learner:
        return None
    voters = [member for member in seen.members if not member.is_learner]
    left = [voter for voter in voters if voter is not removed]
    if sum(voter.healthy for voter in left) <= len(left) // 2:
        return "a voter is removed, and leaves no healthy quorum"
    if removed.healthy and not leaves and len(voters) <= _right_number(seen, view.instances):
        return "a healthy voter is removed for no reason"
    return None


def why_not_settled(world: World) -> str | None:
    """What is missing to one healthy cluster that everyone has found; None if nothing is."""
    running = list(world.running)
    clusters = {replica.cluster_id for _, replica in running}
    if len(clusters) != 1:
        return f"{len(clusters)} clusters run"
    leaders = [replica for _, replica in running if replica.leads]
    if len(leaders) != 1:
        return f"{len(leaders)} leaders"
    missing = world.acknowledged - leaders[0].whole().writes
    if missing:
        return f"acknowledged writes are lost: {sorted(missing)}"
    return _why_members_are_wrong(world, leaders[0]) or next(
        filter(None, (_why_unsettled(node, leaders[0]) for node in world.living)), None
    )


def _why_members_are_wrong(world: World, leader: Replica) -> str | None:
    members, there = leader.contents.listed, len(world.living)
    running = {replica.member_id for _, replica in world.running}
    idle = [m.name or "unnamed" for m in members if m.id not in running]
    if idle:
        # Whom the platform has forgotten without a word keeps its place until another needs it.
        forgotten = [n for n in world.nodes if n.record.forgotten_at is not None]
        known = [name for name in idle if not _is_of(name, forgotten)]
        return f"members that do not run: {known}" if known else None
    right = target_voters(there, world.setting.membership.voters)
    if len(leader.contents.voters) != right:
        return f"{len(leader.contents.voters)} of {right} voters"
    return "no hot standby" if there == 2 and len(members) != 2 else None


def _why_unsettled(node: Node, leader: Replica) -> str | None:
    own = node.own
    if own.fenced or own.lifting or own.intends_restore or own.stage is Stage.INTENDING:
        return f"{node.id} is fenced, or about to found or restore a cluster"
    if own.cluster_id != leader.cluster_id:
        return f"{node.id} is not in the cluster"
    if node.replica is not None and own.stage is not Stage.MEMBER:
        return f"{node.id} has not settled in"
    return None


def _is_of(member: str, nodes: Iterable[Node]) -> bool:
    return any(is_member_of(member, node.id) for node in nodes)


def _right_number(seen: Observation, named: Iterable[Instance]) -> int:
    alive = {i.id for i in named if i.state is not InstanceState.STOPPED}
    there = {p.instance for p in seen.presences if not p.draining}
    return target_voters(len(there & alive), seen.rules.voters)


def _can_commit(running: list[tuple[Node, Replica]]) -> bool:
    newest = max((replica for _, replica in running), key=lambda replica: replica.commit)
    voters = {member.id for member in newest.contents.voters}
    there = {replica.member_id for _, replica in running}
    return len(voters & there) > len(voters) // 2


def _living_data(world: World) -> Iterator[tuple[Node, Replica]]:
    for node in world.living:
        for replica in node.disk.replicas:
            yield node, replica
