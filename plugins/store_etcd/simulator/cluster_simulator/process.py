"""An instance's process: how it begins, what its identity becomes, how it ends."""

from __future__ import annotations

from cluster_simulator import etcd
from cluster_simulator.checks import check_deletion
from cluster_simulator.world import Memory, Node, Views, World
from formal_cluster_store_etcd.names import member_name
from formal_cluster_store_etcd.planning.identity import Identity, Stage


def boot(world: World, node: Node) -> None:
    """It begins, with the disk that it has."""
    if node.up or not node.alive or world.at.get(node.address) is not None:
        return
    world.listen(node)
    node.up, node.paused = True, False
    node.memory = Memory(views=Views(same_since=world.now), began=world.now)
    load(world, node)
    node.memory.prepared = True


def kill(world: World, node: Node) -> None:
    """It ends without a word, and its etcd with it."""
    if not node.up:
        return
    etcd.end(node)
    node.up = node.paused = False
    node.memory = Memory()
    world.hang_up(node)


def load(world: World, node: Node) -> None:
    """Read the identity, as `identity_file.load` does before each attempt to run etcd."""
    disk, own = node.disk, node.disk.identity
    if own is None:
        disk.identity = Identity.fresh(node.id, node.peer_url, world.random_id())
        return
    own = own.model_copy(update={"instance": node.id})
    lost = own.stage is Stage.MEMBER or (own.stage is Stage.FOUNDING and own.source is not None)
    if lost and disk.replica is None:
        own = own.renewed(node.peer_url, world.random_id())
    elif not own.has_data:
        name = member_name(node.id, own.incarnation)
        own = own.model_copy(update={"peer_url": node.peer_url, "member": name})
    disk.identity = own


def become(node: Node, own: Identity) -> None:
    """Persist an identity; from then on it is what others are shown."""
    if own != node.own:
        node.disk.identity = own


def start_over(world: World, node: Node) -> None:
    """Set the data aside and become a new member."""
    for lost in node.disk.set_aside():
        check_deletion(world, node, lost)
    become(node, node.own.renewed(node.peer_url, world.random_id()))


def bury(world: World, node: Node, *, proven_after_s: float | None) -> None:
    """It is dead for good, as its platform knows `proven_after_s` later, if ever."""
    kill(world, node)
    node.alive = False
    node.record.died_at = world.now
    if proven_after_s is not None:
        node.record.proven_at = world.now + proven_after_s
