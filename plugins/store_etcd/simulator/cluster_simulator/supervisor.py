"""One instance's supervisor, one small step at a time.

Between any two steps anything may happen, and the process may end. What it knows is in its memory,
what it has decided is on its disk. The order of things is that of `member.member_runner`,
`member.former` and `member.guard`; only what decides is the real code.
"""

from __future__ import annotations

from cluster_simulator import etcd, leading, probing, viewing, watching
from cluster_simulator.checks import check_founding, check_restoration
from cluster_simulator.contents import Contents, SetLineage
from cluster_simulator.process import become, bury, kill, load, start_over
from cluster_simulator.raft import Replica
from cluster_simulator.world import Node, Round, World
from formal_cluster.model import InstanceState
from formal_cluster_store_etcd.names import is_member_of
from formal_cluster_store_etcd.planning.copies import Copy
from formal_cluster_store_etcd.planning.identity import Stage
from formal_cluster_store_etcd.planning.leaving import Farewell, Go
from formal_cluster_store_etcd.planning.lineage import Ancestor, Lineage
from formal_cluster_store_etcd.planning.steps import (
    Found,
    Join,
    Observation,
    Restore,
    SetAside,
    Start,
    Wait,
)
from formal_cluster_store_etcd.planning.transitions import restored
from formal_cluster_store_etcd.planning.vigil import StopEtcd

ROUND_S = 10.0
ANSWERS_S = 2.0


def run(world: World, node: Node, dice: int) -> None:
    """Take the next small step. `dice` chooses whom to ask next."""
    if not node.acts:
        return
    if node.memory.leaving_since is not None:
        _leave(world, node)
        if not node.up:
            return
    if node.etcd:
        _run_member(world, node, dice)
    else:
        _form(world, node, dice)


def finish_round(world: World, node: Node, dice: int) -> None:
    """Take steps until one is decided and carried out, without anything in between."""
    for _ in range(len(world.nodes) + 4):
        run(world, node, dice)
        memory = node.memory
        if memory.round is None and memory.step is None and memory.change is None:
            return


# ── without etcd ─────────────────────────────────────────────────────────────────────────────


def _form(world: World, node: Node, dice: int) -> None:
    memory = node.memory
    if memory.was_removed:
        memory.was_removed = False
        start_over(world, node)
    elif not memory.prepared:
        load(world, node)
        memory.prepared = True
    elif memory.step is not None:
        _carry_out(world, node)
    elif memory.round is None:
        if memory.watch.cluster_id is not None:
            watching.look(world, node)
            watching.announce(world, node)
        followed = None if node.own.has_data else watching.fresh(world, node)
        if followed is not None:
            seen = Observation(node.own, node.peer_url, None, 0, 0, {"its members": followed})
            _decide(world, node, seen)
        else:
            memory.round = begin_round(world, node)
    elif memory.round.unasked:
        _ask_next(world, node, memory.round, dice)
    else:
        _decide(world, node, observation(world, node, memory.round))


def begin_round(world: World, node: Node) -> Round:
    """What discovery says now, and all that are to be asked."""
    views = viewing.refresh(world, node)
    named = views.named or ()
    own = node.own
    return Round(
        named=named,
        complete=views.named is not None and views.complete,
        stable_s=world.now - views.same_since,
        unasked=[
            instance
            for instance in named
            if instance.id != node.id
            and (
                instance.state is not InstanceState.STOPPED
                or any(is_member_of(voter, instance.id) for voter in own.voters)
            )
        ],
    )


def _ask_next(world: World, node: Node, asking: Round, dice: int) -> None:
    instance = asking.unasked.pop(dice % len(asking.unasked))
    asking.probes[instance.id] = probing.ask(world, node, instance)


def observation(world: World, node: Node, asked: Round) -> Observation:
    """What a round has come to."""
    return Observation(
        own=node.own,
        peer_url=node.peer_url,
        expected=asked.named if asked.complete else None,
        stable_s=asked.stable_s,
        waited_s=world.now - node.memory.began,
        probes=asked.probes,
        copy_held=_copy_held(node),
    )


def _copy_held(node: Node) -> Copy | None:
    best = node.disk.best_copy
    replica = node.replica
    if best is None or replica is None:
        return best
    return best.model_copy(update={"term": replica.term, "index": replica.commit})


def _decide(world: World, node: Node, seen: Observation) -> None:
    node.memory.round = None
    step = world.planners.formation(seen, world.setting.formation)
    become(node, world.planners.identity_after(step, seen.own))
    if isinstance(step, Found | Start | SetAside | Join | Restore):
        node.memory.step = step
    elif not isinstance(step, Wait):
        world.note(node, step)


def _carry_out(world: World, node: Node) -> None:
    step, node.memory.step = node.memory.step, None
    world.note(node, step)
    match step:
        case SetAside():
            start_over(world, node)
        case Join():
            watching.follow(node, step.cluster_id, step.members, step.lineage)
        case Restore():
            _restore(world, node, step.source)
        case Found():
            _found(world, node)
        case Start(cluster_id=str(cluster_id), initial_cluster=members) if members is not None:
            _join(world, node, cluster_id, list(members.values()))
        case Start():
            if node.disk.replica is None:
                _found(world, node)
            else:
                etcd.launch(world, node)
        case _:
            pass


def _found(world: World, node: Node) -> None:
    if node.disk.replica is None:
        check_founding(world, node)
        node.disk.replica = etcd.found(world, node, Contents())
    etcd.launch(world, node)


def _join(world: World, node: Node, cluster_id: str, urls: list[str]) -> None:
    try:
        node.disk.replica = etcd.join(world, node, cluster_id, urls)
    except etcd.Refused:
        node.memory.prepared = False  # etcd has ended, and left nothing
        return
    etcd.launch(world, node)


def _restore(world: World, node: Node, source: str) -> None:
    replica = node.disk.data_in(source)
    if replica is None:
        world.object(f"{node.id} is to restore {source}, which is not there")
        return
    contents = replica.whole()
    check_restoration(world, node, contents)
    node.disk.replica = etcd.found(world, node, contents)
    become(node, restored(node.own, node.peer_url))


# ── with etcd ────────────────────────────────────────────────────────────────────────────────


def _run_member(world: World, node: Node, dice: int) -> None:
    replica, memory = node.replica, node.memory
    assert replica is not None
    if isinstance(memory.step, StopEtcd):
        world.note(node, memory.step)
        memory.step = None
        etcd.end(node)
    elif memory.change is not None:
        leading.carry_out(world, node, replica)
    elif memory.round is not None:
        _watch_over(world, node, memory.round, dice)
    else:
        _settle_in(world, node, replica)
        watching.look(world, node)
        watching.announce(world, node)
        _note_voters(world, node, replica)
        leaderless_s = _leaderless_s(world, node)
        if leaderless_s >= ANSWERS_S or world.now - memory.looked_around_at >= ROUND_S:
            memory.looked_around_at = world.now
            memory.round = begin_round(world, node)
        leading.tend(world, node, replica)


def _settle_in(world: World, node: Node, replica: Replica) -> None:
    """Become a member, once etcd serves. A founder writes the lineage first."""
    own = node.own
    listed = replica.contents.members.get(replica.member_id)
    if listed is None or listed.name != own.member or not listed.client_urls:
        return
    follows = node.memory.watch.cluster_id == own.cluster_id == replica.cluster_id
    if follows and own.stage is Stage.MEMBER:
        return
    epoch, founded_at = own.epoch, own.founded_at
    if own.stage is Stage.FOUNDING:
        lineage = _write_lineage(world, node, replica)
        if lineage is None:
            return
        epoch, founded_at = lineage.epoch, lineage.founded_at
    voters = {m.name: m.peer_urls[0] for m in replica.contents.voters if m.name}
    settled = own.in_cluster(replica.cluster_id, epoch=epoch, founded_at=founded_at)
    known = {"voters": voters, "voters_index": replica.commit}
    become(node, settled.model_copy(update=known))
    watching.follow(node, replica.cluster_id, replica.contents.listed)


def _write_lineage(world: World, node: Node, replica: Replica) -> Lineage | None:
    before = replica.contents.lineage
    if before is not None and before.cluster_id == replica.cluster_id:
        return before
    lineage = Lineage(
        epoch=node.own.epoch,
        cluster_id=replica.cluster_id,
        ancestors=()
        if before is None
        else (
            *before.ancestors,
            Ancestor(epoch=before.epoch, cluster_id=before.cluster_id),
        ),
        founded_at=world.now + node.skew,
        founder=node.id,
    )
    return lineage if etcd.propose(world, node, replica, SetLineage(lineage)) else None


def _note_voters(world: World, node: Node, replica: Replica) -> None:
    """Remember who votes, as this instance's own etcd has it, and when."""
    own = node.own
    if own.stage is not Stage.MEMBER or node.memory.watch.cluster_id != own.cluster_id:
        return
    known: dict[str, object] = {"voters_index": replica.commit}
    known["voters"] = {m.name: m.peer_urls[0] for m in replica.contents.voters if m.name}
    if _leaderless_s(world, node) < ANSWERS_S:
        known["presumed_dead"] = 0
    if own.voters != known["voters"] or ("presumed_dead" in known and own.presumed_dead):
        become(node, own.model_copy(update=known))


def _leaderless_s(world: World, node: Node) -> float:
    watch = node.memory.watch
    runs_s = world.now - node.memory.etcd_since
    if watch.cluster_id != node.own.cluster_id or watch.answered_at is None:
        return runs_s
    return min(world.now - watch.answered_at, runs_s)


def _watch_over(world: World, node: Node, asking: Round, dice: int) -> None:
    if asking.unasked:
        _ask_next(world, node, asking, dice)
        return
    node.memory.round = None
    decision = world.planners.vigil(
        observation(world, node, asking), _leaderless_s(world, node), world.setting.formation
    )
    if isinstance(decision, StopEtcd):
        node.memory.step = decision


# ── leaving ──────────────────────────────────────────────────────────────────────────────────


def _leave(world: World, node: Node) -> None:
    memory = node.memory
    since = memory.leaving_since
    assert since is not None
    watching.look(world, node)
    watching.announce(world, node)
    members = memory.watch.seen.members
    if memory.left_as is not None and all(m.name != memory.left_as for m in members):
        memory.removed_at = world.now if memory.removed_at is None else memory.removed_at
    else:
        memory.removed_at = None
    quorum = None if memory.watch.cluster_id is None else watching.quorum(world, node)
    if quorum is not None:
        memory.presences = tuple(p.presence for p in quorum[1].contents.presences.values())
    answered = memory.watch.answered_at
    step = world.planners.leaving(
        Farewell(
            member=memory.left_as,
            members=members,
            presences=memory.presences,
            ended=node.own.member != memory.left_as,
            silent_s=None if answered is None else world.now - answered,
            waited_s=world.now - since,
            removed_s=0.0 if memory.removed_at is None else world.now - memory.removed_at,
            grace_s=world.setting.grace_s,
        )
    )
    if isinstance(step, Go):
        world.note(node, step)
        watching.withdraw(world, node)
        kill(world, node)
        bury(world, node, proven_after_s=1.0)


def begin_to_leave(world: World, node: Node) -> None:
    """It is told to stop for good."""
    memory = node.memory
    if not node.up or memory.leaving_since is not None:
        return
    memory.leaving_since = world.now
    listed = any(member.name == node.own.member for member in memory.watch.seen.members)
    memory.left_as = node.own.member if listed else None
