"""What an instance finds at another one's peer port; see `peers.probe` and the status document."""

from __future__ import annotations

from cluster_simulator import etcd
from cluster_simulator.raft import Replica
from cluster_simulator.world import Node, World
from formal_cluster.model import Instance
from formal_cluster_store_etcd.names import is_ours
from formal_cluster_store_etcd.planning.lineage import Lineage
from formal_cluster_store_etcd.planning.observations import (
    LiveEtcd,
    NoEtcd,
    Probe,
    Silent,
    Stranger,
)
from formal_cluster_store_etcd.planning.peer_status import PeerStatus, status_of

_SILENT = Silent("no answer")


def ask(world: World, node: Node, instance: Instance) -> Probe:
    """Ask whoever is at the address where discovery says that the instance is."""
    other = world.at.get(instance.address)
    if other is None or other is node or not world.linked(node, other):
        return _SILENT
    replica = other.replica
    if replica is None:
        if other.id != instance.id:
            return Stranger(f"it is instance {other.id}, not {instance.id}")
        return NoEtcd(_status(other))
    own = next((m for m in replica.contents.listed if other.peer_url in m.peer_urls), None)
    if own is None or not is_ours(own.name):
        return Stranger("an etcd answers that formal-cluster did not start", is_etcd=True)
    serving = etcd.serves(world, other, replica) is not None
    return LiveEtcd(
        replica.cluster_id,
        replica.contents.listed,
        serving,
        lineage_in(replica),
        own.name,
        replica.commit,
    )


def lineage_in(replica: Replica) -> Lineage | None:
    """What a member tells of its cluster; nothing while that is of the one it was restored from."""
    lineage = replica.contents.lineage
    return lineage if lineage is not None and lineage.cluster_id == replica.cluster_id else None


def _status(node: Node) -> PeerStatus:
    """The status document. Making one is slow, and it seldom changes."""
    own, replica, url = node.own, node.disk.replica, node.peer_url
    position = (0, 0) if replica is None else replica.position
    shown = node.shown
    if (
        shown is None
        or shown[0] is not own
        or shown[1] is not replica
        or shown[2:4] != (position, url)
    ):
        status = status_of(own, None, copy_held=node.disk.best_copy, peer_url=url)
        shown = node.shown = own, replica, position, url, status
    return shown[4]
