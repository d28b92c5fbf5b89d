"""Looks at single pods and nodes: what became of a pod that vanished, and which zone a node is in.

Permission for these is optional. Where it is missing, that is said once with what it costs, and
tried again now and then, in case it is given.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection

from formal_cluster.errors import DiscoveryUnavailable
from formal_cluster_discovery_k8s import nodes, pods
from formal_cluster_discovery_k8s.api import KubernetesApi
from formal_cluster_discovery_k8s.departures import Departed, Finding
from formal_cluster_discovery_k8s.peers import Document
from formal_cluster_discovery_k8s.permissions import NODES, Permission
from formal_cluster_discovery_k8s.refusals import Forbidden
from formal_cluster_discovery_k8s.source import Source

_TRY_AGAIN_S = 600.0
_ZONES_AT_ONCE = 20
_ZONES_PAUSE_S = 0.1
_ZONES_FAILED_PAUSE_S = 60.0


class Looks:
    """What single reads tell beyond the list.

    Attributes:
        zones: The zones of nodes, as far as they were learnt; None for a node without one.
        zones_due: When more of them may be learnt, by the event loop's clock; None for any time.
    """

    def __init__(self, api: KubernetesApi, source: Source, logger: logging.Logger) -> None:
        self._api = api
        self._source = source
        self._logger = logger
        self._refused_until: dict[Permission, float] = {}
        self.zones: dict[str, str | None] = {}
        self.zones_due: float | None = None

    async def at(self, departed: Departed) -> Finding | None:
        """What is to be seen of a departed pod; None if it cannot be looked at now."""
        clock = asyncio.get_running_loop().time
        began, peer = clock(), departed.peer
        namespace = self._source.query.namespace
        try:
            pod = await self._permitted(
                self._source.pod_permission, lambda it: self._api.read(it, namespace, peer.name)
            )
            if pod is not None and pod["metadata"]["uid"] == peer.id:
                return Finding(pods.state_of(pod), None, began, clock())
            node = None if peer.node is None else await self._node(peer.node)
        except DiscoveryUnavailable as error:
            self._logger.debug(
                "a vanished pod cannot be looked at", extra={"pod": peer.name, "reason": str(error)}
            )
            return None
        readiness = None if node is None else nodes.readiness_of(node)
        return Finding(None, readiness, began, clock())

    async def learn_zones(self, names: Collection[str], among: int) -> None:
        """Read the zones of some of these nodes; `zones_due` tells when to go on.

        Args:
            among: How many instances there are. All of them do the same: the more there are, the
                longer each one pauses.
        """
        clock = asyncio.get_running_loop().time
        if self.zones_due is not None and clock() < self.zones_due:
            return
        unknown = [name for name in names if name not in self.zones]
        self.zones_due = None
        try:
            for name in unknown[:_ZONES_AT_ONCE]:
                node = await self._node(name)
                self.zones[name] = None if node is None else nodes.zone_of(node)
        except DiscoveryUnavailable as error:
            self._logger.debug("zones cannot be read", extra={"reason": str(error)})
            self.zones_due = clock() + _ZONES_FAILED_PAUSE_S
            return
        if unknown:
            self.zones_due = clock() + among * _ZONES_PAUSE_S
        for name in self.zones.keys() - set(names):
            del self.zones[name]

    async def zone_of(self, name: str) -> str | None:
        """The zone of a node, if it can be read."""
        try:
            node = await self._node(name)
        except DiscoveryUnavailable as error:
            self._logger.debug("the zone cannot be read", extra={"reason": str(error)})
            return None
        return None if node is None else nodes.zone_of(node)

    async def _node(self, name: str) -> Document | None:
        return await self._permitted(NODES, lambda it: self._api.read(it, None, name))

    async def _permitted(
        self, permission: Permission, read: Callable[[Permission], Awaitable[Document | None]]
    ) -> Document | None:
        now = asyncio.get_running_loop().time()
        if now < self._refused_until.get(permission, now):
            raise Forbidden(f"{permission.resource} may not be read")
        try:
            document = await read(permission)
        except Forbidden as error:
            if permission not in self._refused_until:
                self._logger.warning(
                    "an optional permission is missing", extra={"reason": str(error)}
                )
            self._refused_until[permission] = now + _TRY_AGAIN_S
            raise
        self._refused_until.pop(permission, None)
        return document
