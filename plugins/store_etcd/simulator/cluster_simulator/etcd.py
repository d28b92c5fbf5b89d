"""The etcds that run: what they tell each other, grant, and refuse.

A message arrives if both processes run and the link is up, each way by itself. A request that needs
an answer may so have had its effect and still look as if it had failed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from cluster_simulator.contents import (
    Absent,
    Change,
    Contents,
    RemoveMember,
    SetMember,
    Write,
)
from cluster_simulator.raft import Entry, Replica
from cluster_simulator.world import Node, World
from formal_cluster_store_etcd.planning.members import ClusterMember, MemberStatus, in_sync
from formal_cluster_store_etcd.planning.presence import TTL_S

ELECTION_S = 1.0


class Refused(Exception):
    """The cluster does not do what it is asked to."""


class TooUnhealthy(Refused):
    """Because a voter is silent, though a quorum is there."""


def launch(world: World, node: Node) -> None:
    """The etcd of an instance starts on the data that is there."""
    assert node.disk.replica is not None
    node.disk.replica.forget()
    node.disk.replica.heard_at = world.now
    node.etcd = True
    node.memory.etcd_since = world.now


def end(node: Node) -> None:
    """It ends."""
    node.etcd = False
    memory = node.memory
    memory.round = memory.step = memory.change = memory.leading = None
    memory.prepared = False
    if node.disk.replica is not None:
        node.disk.replica.forget()


def found(world: World, node: Node, contents: Contents) -> Replica:
    """The data of a new cluster's only member, which goes on with `contents`."""
    own = ClusterMember(
        id=world.number(),
        name=node.own.member,
        peer_urls=(node.peer_url,),
        client_urls=(node.client_url,),
        is_learner=False,
    )
    return Replica.founded(world.random_id(), own.id, contents.restored_for(own))


def join(world: World, node: Node, cluster_id: str, urls: Sequence[str]) -> Replica:
    """The data of an instance whose etcd starts for the first time, as a member that was added.

    Raises:
        Refused: No member answers, or the list it gives is not the one it was started with.
    """
    for url in urls:
        peer = world.node_at(url)
        replica = None if peer is None else peer.replica
        if peer is None or replica is None or peer is node or not world.linked(node, peer):
            continue
        if replica.cluster_id != cluster_id or not replica.log:
            continue
        listed = replica.contents.listed
        if sorted(urls) != sorted(member.peer_urls[0] for member in listed):
            raise Refused("the member lists differ")
        mine = next((m for m in listed if node.peer_url in m.peer_urls and not m.name), None)
        if mine is None:
            raise Refused("it was not added")
        return Replica(cluster_id, mine.id, contents=Contents(members={m.id: m for m in listed}))
    raise Refused("no member answers")


def beat(world: World, node: Node) -> None:
    """What an etcd does by itself: follow, lead, stand for election, or end."""
    replica = node.replica
    if replica is None or not node.acts:
        return
    if _is_removed(world, node, replica):
        end(node)
        node.memory.was_removed = True
        return
    if replica.leads:
        replicate(world, node, replica)
    elif world.now - replica.heard_at >= ELECTION_S:
        replica.leader = 0
        if world.dice.random() < 0.5:  # its patience is random, or two would stand for ever
            campaign(world, node, replica)
    if replica.leader:
        _tell_name(world, node, replica)


def campaign(world: World, node: Node, replica: Replica, *, called: bool = False) -> None:
    """Stand for election. `called`: the leader has asked for it, which ends its own lease."""
    members = replica.contents.members
    if replica.member_id not in members or members[replica.member_id].is_learner:
        return
    replica.see_term(replica.term + 1)
    replica.voted_for = replica.member_id
    votes = 1
    for member in replica.contents.voters:
        found = world.etcd_of(member, node)
        if found is None or found[0] is node or not world.hears(node, found[0]):
            continue
        voter = found[1]
        if not called and knows_leader(world, voter):
            continue
        if voter.votes_for(replica) and world.hears(found[0], node):
            votes += 1
        if world.hears(found[0], node):
            replica.see_term(voter.term)
    if votes > len(replica.contents.voters) // 2 and replica.voted_for == replica.member_id:
        replica.take_office(world.now)
        replicate(world, node, replica)


def replicate(
    world: World, node: Node, leader: Replica, only: Callable[[int], bool] = lambda _: True
) -> None:
    """The leader sends what it has to those members that `only` names, and counts the answers."""
    heard = 1
    for member in leader.contents.listed:
        found = world.etcd_of(member, node)
        if found is None or found[0] is node or not only(member.id):
            continue
        peer, follower = found
        if not world.hears(node, peer):
            continue
        accepted = follower.accept(leader, world.now)
        if not world.hears(peer, node):
            continue
        if not accepted:
            leader.see_term(follower.term)
            return
        leader.match[member.id] = len(leader.log)
        heard += not member.is_learner
    if heard > len(leader.contents.voters) // 2:
        leader.heard_at = world.now
    elif world.now - leader.heard_at >= ELECTION_S:
        leader.leads, leader.leader = False, 0
        return
    _commit(world, leader)


def knows_leader(world: World, replica: Replica) -> bool:
    """Whether it follows one that it has heard from lately, or is one."""
    return bool(replica.leader) and world.now - replica.heard_at < 2 * ELECTION_S


def serves(world: World, node: Node, replica: Replica) -> tuple[Node, Replica] | None:
    """The leader, if this member can answer linearizable reads: it asks the leader, which asks a
    majority."""
    leading = leader_of(world, node, replica)
    own = replica.contents.members.get(replica.member_id)
    if leading is None or own is None or own.is_learner:
        return None
    at, leader = leading
    alive = 1
    for member in leader.contents.voters:
        found = world.etcd_of(member, at)
        if found is not None and found[0] is not at and world.linked(at, found[0]):
            if found[1].term > leader.term:
                return None
            alive += 1
    return leading if alive > len(leader.contents.voters) // 2 else None


def leader_of(world: World, node: Node, replica: Replica) -> tuple[Node, Replica] | None:
    """The leader that this member knows of and reaches."""
    if replica.leads:
        return node, replica
    member = replica.contents.members.get(replica.leader)
    found = None if member is None else world.etcd_of(member, node)
    if found is None or not found[1].leads or not world.linked(node, found[0]):
        return None
    return found


def status(world: World, replica: Replica) -> MemberStatus:
    """What a member says of itself, without asking anyone."""
    own = replica.contents.members.get(replica.member_id)
    return MemberStatus(
        cluster_id=int(replica.cluster_id, 16),
        member_id=replica.member_id,
        leader_id=replica.leader if knows_leader(world, replica) else 0,
        raft_term=replica.term,
        raft_index=replica.commit,
        applied_index=replica.commit,
        revision=replica.commit,
        version="3.4.0",
        db_size=0,
        db_in_use=0,
        is_learner=own is not None and own.is_learner,
        errors=(),
    )


def propose(world: World, node: Node, replica: Replica, change: Change) -> bool:
    """Write through this member; whether the write was acknowledged."""
    leading = leader_of(world, node, replica)
    if leading is None:
        return False
    at, leader = leading
    leader.log.append(Entry(leader.term, change))
    index = len(leader.log)
    replicate(world, at, leader)
    return leader.commit >= index and leader.leads


def expire(world: World, leader: Replica) -> None:
    """Take away the presences that have not been renewed."""
    for instance, present in list(leader.contents.presences.items()):
        if world.now - present.at > TTL_S:
            leader.log.append(Entry(leader.term, Absent(instance)))


def add_learner(world: World, node: Node, replica: Replica, url: str) -> None:
    """Raises: Refused."""
    at, leader = _ready(world, node, replica)
    if any(url in member.peer_urls for member in leader.contents.listed):
        raise Refused("a member has this address")
    if any(member.is_learner for member in leader.contents.listed):
        raise Refused("too many learners")
    voters = leader.contents.voters
    if world.setting.strict_adds and not all(_is_active(world, at, leader, v) for v in voters):
        raise TooUnhealthy("a voter is silent")
    new = ClusterMember(world.number(), "", (url,), (), is_learner=True)
    propose(world, at, leader, SetMember(new))


def promote(world: World, node: Node, replica: Replica, id_: int) -> None:
    """Raises: Refused."""
    at, leader = _ready(world, node, replica)
    member = leader.contents.members.get(id_)
    if member is None or not member.is_learner:
        raise Refused("there is no such learner")
    if not in_sync(leader.match.get(id_, 0), len(leader.log)):
        raise Refused("it is not in sync")
    started = sum(bool(voter.name) for voter in leader.contents.voters) + 1
    if started < (len(leader.contents.voters) + 1) // 2 + 1:
        raise Refused("too few voters have started")
    propose(world, at, leader, SetMember(replace(member, is_learner=False)))


def remove(world: World, node: Node, replica: Replica, id_: int) -> None:
    """Raises: Refused."""
    at, leader = _ready(world, node, replica)
    member = leader.contents.members.get(id_)
    if member is None:
        raise Refused("there is no such member")
    if not member.is_learner:
        left = [voter for voter in leader.contents.voters if voter.id != id_]
        if sum(bool(voter.name) for voter in left) < len(left) // 2 + 1:
            raise Refused("too few voters have started")
        active = sum(_is_active(world, at, leader, voter) for voter in left)
        if _is_active(world, at, leader, member) and active < len(left) // 2 + 1:
            raise TooUnhealthy("too few voters are active")
    propose(world, at, leader, RemoveMember(id_))


def move(world: World, node: Node, replica: Replica, id_: int, url: str) -> None:
    """Tell the cluster a member's new address. Raises: Refused."""
    at, leader = _ready(world, node, replica)
    member = leader.contents.members.get(id_)
    if member is None or any(url in other.peer_urls for other in leader.contents.listed):
        raise Refused("there is no such member, or another one has this address")
    propose(world, at, leader, SetMember(replace(member, peer_urls=(url,))))


def hand_over(world: World, node: Node, replica: Replica, id_: int) -> None:
    """Make another voter the leader. Raises: Refused."""
    at, leader = _ready(world, node, replica)
    member = leader.contents.members.get(id_)
    found = None if member is None else world.etcd_of(member, at)
    if member is None or member.is_learner or found is None or not world.linked(at, found[0]):
        raise Refused("there is no such voter, or it is silent")
    replicate(world, at, leader)
    if found[1].position != leader.position:
        raise Refused("it is behind")
    campaign(world, *found, called=True)


def write(world: World, node: Node, replica: Replica, only: Callable[[int], bool]) -> None:
    """A client's write, which the leader may fail to send to some before the next heartbeat."""
    leading = leader_of(world, node, replica)
    if leading is not None:
        at, leader = leading
        leader.log.append(Entry(leader.term, Write(world.number())))
        replicate(world, at, leader, only)


def _ready(world: World, node: Node, replica: Replica) -> tuple[Node, Replica]:
    leading = leader_of(world, node, replica)
    if leading is None:
        raise Refused("there is no leader")
    if not leading[1].may_change_members:
        raise Refused("an earlier change is on its way")
    return leading


def _is_active(world: World, at: Node, leader: Replica, member: ClusterMember) -> bool:
    if member.id == leader.member_id:
        return True
    found = world.etcd_of(member, at)
    return found is not None and world.linked(at, found[0])


def _commit(world: World, leader: Replica) -> None:
    before = leader.commit
    if leader.count_votes():
        for entry in leader.log[before : leader.commit]:
            if isinstance(entry.change, Write):
                world.acknowledged.add(entry.change.number)


def _is_removed(world: World, node: Node, replica: Replica) -> bool:
    """Whether it knows, or an etcd of the cluster says so, a new one at an old address too."""
    if replica.member_id in replica.contents.removed:
        return True
    for member in replica.contents.listed:
        other = world.node_at(member.peer_urls[0])
        theirs = None if other is None else other.replica
        if other is None or theirs is None or other is node or not world.linked(node, other):
            continue
        same = theirs.cluster_id == replica.cluster_id
        if same and replica.member_id in theirs.contents.removed:
            return True
    return False


def _tell_name(world: World, node: Node, replica: Replica) -> None:
    listed = replica.contents.members.get(replica.member_id)
    if listed is None or (
        listed.name == node.own.member and listed.client_urls == (node.client_url,)
    ):
        return
    leading = leader_of(world, node, replica)
    if leading is None or not leading[1].may_change_members:
        return
    current = leading[1].contents.members.get(replica.member_id)
    if current is not None:
        told = replace(current, name=node.own.member, client_urls=(node.client_url,))
        propose(world, *leading, SetMember(told))
