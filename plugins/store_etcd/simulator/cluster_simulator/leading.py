"""The leader's duties: observe, ask the membership planner, carry out; see `peers.leader`.

Members' health is as old as the last look at them; the list and the presences are of this moment.
"""

from __future__ import annotations

from cluster_simulator import etcd, viewing, watching
from cluster_simulator.checks import check_change
from cluster_simulator.raft import Replica
from cluster_simulator.world import Node, World
from formal_cluster.model import View
from formal_cluster_store_etcd.peers.leader_memory import LeaderMemory
from formal_cluster_store_etcd.planning.changes import (
    AddLearner,
    MoveLeader,
    Observation,
    Promote,
    Remove,
    UpdateAddress,
    Wait,
)


def tend(world: World, node: Node, replica: Replica) -> None:
    """Decide the next change, if the cluster says that this instance's member leads."""
    memory, watch = node.memory, node.memory.watch
    own = next((m for m in watch.seen.members if m.name == node.own.member), None)
    if own is None or own.id != watch.seen.leader or not own.client_urls:
        memory.leading = None
        return
    memory.leading = memory.leading or LeaderMemory(world.clock)
    quorum = watching.quorum(world, node)
    if quorum is None:
        return
    presences = tuple(p.presence for p in quorum[1].contents.presences.values())
    seen = Observation(
        own_instance=node.id,
        own_member=own.id,
        members=memory.leading.assess(replica.contents.listed, watch.seen),
        presences=presences,
        view=_view(world, node),
        rules=world.setting.membership,
        leaving_s=memory.leading.leaving_s(presences),
        settled_s=memory.leading.settled_s(presences),
        evicted=memory.leading.evicted,
        add_refused=memory.leading.add_refused,
    )
    step = world.planners.membership(seen)
    if not isinstance(step, Wait):
        check_change(world, seen, step)
        memory.change = step


def carry_out(world: World, node: Node, replica: Replica) -> None:
    """Do what was decided a moment ago; the member may not lead any more."""
    step, node.memory.change = node.memory.change, None
    world.note(node, step)
    memory = node.memory.leading
    refused: etcd.Refused | None = None
    try:
        match step:
            case AddLearner(peer_url=url):
                etcd.add_learner(world, node, replica, url)
            case Promote(member_id=id_):
                etcd.promote(world, node, replica, id_)
            case Remove(member_id=id_):
                etcd.remove(world, node, replica, id_)
            case MoveLeader(member_id=id_):
                etcd.hand_over(world, node, replica, id_)
            case UpdateAddress(member_id=id_, peer_url=url):
                etcd.move(world, node, replica, id_, url)
            case None:
                pass
    except etcd.Refused as error:
        refused = error
    if memory is not None:
        unhealthy = isinstance(refused, etcd.TooUnhealthy)
        memory.add_refused = isinstance(step, AddLearner) and unhealthy
        if refused is None and isinstance(step, Remove) and step.evicted is not None:
            memory.evict(step.evicted)


def _view(world: World, node: Node) -> View | None:
    views = viewing.refresh(world, node)
    return None if views.named is None else View(views.named, complete=views.complete)
