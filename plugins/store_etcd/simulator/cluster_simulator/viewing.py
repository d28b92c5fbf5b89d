"""The latest discovery view of one instance, fetched not too often; see `peers.views`."""

from __future__ import annotations

from cluster_simulator import discovery
from cluster_simulator.world import Node, Views, World
from formal_cluster.model import Instance, InstanceState

INTERVAL_S = 2.0


def refresh(world: World, node: Node) -> Views:
    """What discovery says, at most two seconds ago."""
    views = node.memory.views
    if world.now - views.asked_at < INTERVAL_S:
        return views
    answer = discovery.ask(
        [other.record for other in world.nodes],
        node.id,
        node.outlook,
        world.now,
        world.setting.view_lag_s,
    )
    before = _alive(views.named)
    views.named, views.complete = answer or (None, False)
    views.asked_at = world.now
    if _alive(views.named) != before:
        views.same_since = world.now
    return views


def _alive(named: tuple[Instance, ...] | None) -> frozenset[str] | None:
    if named is None:
        return None
    return frozenset(i.id for i in named if i.state is not InstanceState.STOPPED)
