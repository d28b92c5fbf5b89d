"""The view that the peers add up to. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from formal_cluster.model import Instance, InstanceState, View
from formal_cluster_discovery_k8s.peers import Family, Peer, instance_of


def view_of(
    peers: Iterable[Peer],
    *,
    me: Instance | None,
    family: Family | None,
    zones: Mapping[str, str | None],
) -> tuple[View, list[str]]:
    """The instances, and what keeps the view from being complete.

    A pod that no node has is no instance yet. One that a node has may run before its address is
    known: it cannot be shown, and the view is not complete without it.

    Args:
        me: This process; None if it is no pod.
        zones: The zones of the nodes, as far as they are known.
    """
    gaps: list[str] = []
    instances: dict[str, Instance] = {}
    for peer in _merged(peers):
        if peer.may_run_unseen:
            gaps.append(f"pod {peer.name} has no address yet")
        if peer.addresses or peer.state is InstanceState.STOPPED:
            instances[peer.id] = instance_of(peer, family, zones)
    if me is not None:
        if me.id not in instances:
            gaps.append("this pod itself is not listed (yet)")
        # What Kubernetes says of this process is older than what the process knows.
        mine = instances.get(me.id, me)
        instances[me.id] = replace(mine, state=InstanceState.RUNNING, address=me.address)
    return View(tuple(instances[id_] for id_ in sorted(instances)), complete=not gaps), gaps


def _merged(peers: Iterable[Peer]) -> Iterable[Peer]:
    """Each peer once, with the addresses from all of its mentions."""
    merged: dict[str, Peer] = {}
    for peer in peers:
        known = merged.setdefault(peer.id, peer)
        if known is not peer:
            addresses = tuple(dict.fromkeys((*known.addresses, *peer.addresses)))
            merged[peer.id] = replace(known, addresses=addresses)
    return merged.values()
