"""All that is known at present: the cache, what closer looks added to it, and the view of both."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from formal_cluster.errors import DiscoveryError
from formal_cluster.model import Instance, View
from formal_cluster_discovery_k8s.api import KubernetesApi
from formal_cluster_discovery_k8s.cache import Cache
from formal_cluster_discovery_k8s.identity import SET_POD_NAME
from formal_cluster_discovery_k8s.locating import Place
from formal_cluster_discovery_k8s.looks import Looks
from formal_cluster_discovery_k8s.views import view_of

_LOOKS_AT_ONCE = 50


class Picture:
    """What this process knows of its peers."""

    def __init__(
        self, place: Place, api: KubernetesApi, gone_margin: float, logger: logging.Logger
    ) -> None:
        self.query = place.source.query
        self.cache = Cache(place.source.parse, gone_margin)
        self._place = place
        self._looks = Looks(api, place.source, logger)
        self._logger = logger
        self._gaps: list[str] = []

    async def identify(self) -> Instance:
        """This process's instance.

        Raises:
            DiscoveryError: It is in no pod.
        """
        me, node = self._place.me, self._place.node
        if me is None:
            raise DiscoveryError(f"which pod is this process? {SET_POD_NAME}")
        if me.zone is None and node is not None:
            return replace(me, zone=await self._looks.zone_of(node))
        return me

    def view(self) -> View:
        """The view at present. What newly keeps it from being complete is logged."""
        view, gaps = view_of(
            self.cache.peers(),
            me=self._place.me,
            family=self._place.family,
            zones=self._looks.zones,
        )
        if gaps and gaps != self._gaps:
            self._logger.info("the view is not complete", extra={"reasons": gaps})
        self._gaps = gaps
        return view

    async def look_closer(self) -> None:
        """Look at some of the vanished pods that are due, and learn some zones."""
        clock = asyncio.get_running_loop().time
        for departed in self.cache.to_look_at(clock())[:_LOOKS_AT_ONCE]:
            finding = await self._looks.at(departed)
            if self.cache.looked_at(departed.peer.id, finding, clock()):
                self._logger.info(
                    "a vanished pod is dead",
                    extra={"pod": departed.peer.name, "uid": departed.peer.id},
                )
        peers = list(self.cache.peers())
        nodes = {peer.node for peer in peers if peer.node is not None and peer.zone is None}
        await self._looks.learn_zones(nodes, len(peers))

    async def tend(self, wake: asyncio.Event, changed: Callable[[], None]) -> None:
        """Look closer whenever there is a reason to. Never returns.

        Args:
            wake: Set when the cache has changed.
        """
        while True:
            wake.clear()
            await self.look_closer()
            changed()
            due = [time for time in (self.cache.next_look(), self._looks.zones_due) if time]
            with suppress(TimeoutError):
                async with asyncio.timeout_at(min(due, default=None)):
                    await wake.wait()
