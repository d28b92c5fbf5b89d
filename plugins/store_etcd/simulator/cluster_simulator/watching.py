"""How an instance follows a cluster through its members; see `peers.cluster_watch`."""

from __future__ import annotations

from collections.abc import Sequence

from cluster_simulator import etcd
from cluster_simulator.contents import Absent, Present
from cluster_simulator.raft import Replica
from cluster_simulator.world import Announced, Node, Watch, World
from formal_cluster_store_etcd.peers.cluster_watch import Members
from formal_cluster_store_etcd.planning.lineage import Lineage
from formal_cluster_store_etcd.planning.members import ClusterMember
from formal_cluster_store_etcd.planning.observations import LiveEtcd
from formal_cluster_store_etcd.planning.presence import RENEWAL_S, Presence

FRESH_S = 2.5


def follow(
    node: Node,
    cluster_id: str,
    members: Sequence[ClusterMember],
    lineage: Lineage | None = None,
) -> None:
    """Use this cluster from now on."""
    watch = node.memory.watch
    if watch.cluster_id != cluster_id:
        watch.answered_at, watch.seen = None, Members()
    watch.cluster_id, watch.lineage = cluster_id, lineage
    _ask_from_now_on(watch, members)


def look(world: World, node: Node) -> None:
    """Ask the members who they are and how they do, and whether a quorum answers."""
    watch = node.memory.watch
    if watch.cluster_id is None:
        return
    reached = _reached(world, node)
    members = reached[0][1].contents.listed if reached else watch.seen.members
    statuses = {}
    for member in members:
        found = etcd_at(world, node, member)
        if found is not None and found[1].member_id == member.id:
            statuses[member.id] = etcd.status(world, found[1])
    newest = max(statuses.values(), key=lambda status: status.raft_term, default=None)
    watch.seen = Members(
        members=members,
        healthy=frozenset(s.member_id for s in statuses.values() if s.leader_id),
        leader=newest.leader_id if newest is not None else 0,
        statuses=statuses,
        at=world.now if reached else watch.seen.at,
    )
    if quorum(world, node) is not None:
        watch.answered_at = world.now
    _ask_from_now_on(watch, members)


def quorum(world: World, node: Node) -> tuple[Node, Replica] | None:
    """The leader, if a linearizable read through any voter is answered."""
    for at, replica in _reached(world, node):
        leading = etcd.serves(world, at, replica)
        if leading is not None:
            return leading
    return None


def fresh(world: World, node: Node) -> LiveEtcd | None:
    """The followed cluster as a probe would find it, if it was seen to serve just now."""
    watch = node.memory.watch
    if watch.cluster_id is None or watch.lineage is None or watch.answered_at is None:
        return None
    if world.now - min(watch.answered_at, watch.seen.at) > FRESH_S:
        return None
    return LiveEtcd(watch.cluster_id, watch.seen.members, serving=True, lineage=watch.lineage)


def announce(world: World, node: Node) -> None:
    """Tell the cluster that this instance is there, if it is time to."""
    memory, own = node.memory, node.own
    draining = memory.leaving_since is not None
    told = memory.announced
    same = told is not None and (told.draining, told.member) == (draining, own.member)
    if told is not None and same and world.now - told.at < RENEWAL_S:
        return
    presence = Presence(
        instance=node.id,
        incarnation=own.incarnation,
        member=own.member,
        address=node.address,
        client_port=2379,
        peer_port=2380,
        peer_url=node.peer_url,
        started_at=node.record.started_at,
        zone=node.record.zone,
        version="3.4.0",
        draining=draining,
    )
    leading = None if memory.watch.cluster_id is None else quorum(world, node)
    if leading is not None and etcd.propose(world, *leading, Present(presence, world.now)):
        memory.announced = Announced(draining, own.member, world.now)


def withdraw(world: World, node: Node) -> None:
    """Take the presence back, if the cluster answers right away."""
    leading = None if node.memory.watch.cluster_id is None else quorum(world, node)
    if leading is not None and node.memory.announced is not None:
        etcd.propose(world, *leading, Absent(node.id))


def etcd_at(world: World, node: Node, member: ClusterMember) -> tuple[Node, Replica] | None:
    """The etcd that answers at a member's client URL, if one does."""
    for url in member.client_urls:
        other = world.node_at(url)
        if other is None or (other is not node and not world.linked(node, other)):
            continue
        replica = other.replica
        if replica is not None and other.acts:
            return other, replica
    return None


def _ask_from_now_on(watch: Watch, members: Sequence[ClusterMember]) -> None:
    watch.voters = tuple(m for m in members if m.name and not m.is_learner) or watch.voters


def _reached(world: World, node: Node) -> list[tuple[Node, Replica]]:
    """The voters that answer, the instance's own first, even if it was none when last looked."""
    watch = node.memory.watch
    found = [
        answer for voter in watch.voters if (answer := etcd_at(world, node, voter)) is not None
    ]
    own = node.replica
    if own is not None and all(replica is not own for _, replica in found):
        # Without it, an instance is lost when the voters that it knew of as a learner are gone.
        found += [(node, own) for voter in own.contents.voters if voter.id == own.member_id]
    found = [answer for answer in found if answer[1].cluster_id == watch.cluster_id]
    return sorted(found, key=lambda answer: (answer[0] is not node, answer[1].member_id))
