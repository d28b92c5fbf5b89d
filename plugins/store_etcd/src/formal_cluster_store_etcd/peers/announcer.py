"""Keeps this instance's presence key alive in the cluster it follows."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from formal_cluster.errors import StoreError
from formal_cluster_store_etcd.client.etcd_client import EtcdClient
from formal_cluster_store_etcd.peers.cluster_watch import ClusterWatch
from formal_cluster_store_etcd.planning import presence
from formal_cluster_store_etcd.planning.presence import Presence

_TICK_S: Final = 0.2
_WITHDRAW_S: Final = 1.0


class Announcer:
    """Writes what `read` returns: at once when it changes, else every few seconds.

    Attributes:
        draining: Set it to say that this instance is leaving.

    Args:
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        client: EtcdClient,
        watch: ClusterWatch,
        read: Callable[[], Presence | None],
        logger: logging.Logger,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._watch = watch
        self._read = read
        self._logger = logger
        self._clock = clock
        self._written: Presence | None = None
        self._written_at = float("-inf")
        self._withdrawn = False
        self.draining = False

    async def run(self) -> None:
        """Announce until cancelled, or until `withdraw` is called."""
        while not self._withdrawn:
            present = self._present()
            if present is not None and self._watch.following and self._is_due(present):
                await self._announce(present)
            await asyncio.sleep(_TICK_S)

    async def withdraw(self) -> None:
        """Take the presence back, if the cluster answers right away; it expires anyway."""
        self._withdrawn = True
        if self._written is None:
            return
        try:
            async with asyncio.timeout(_WITHDRAW_S):
                await self._client.delete(self._written.key)
        except (StoreError, TimeoutError) as error:
            self._logger.debug("the presence was left to expire", extra={"reason": str(error)})

    def _present(self) -> Presence | None:
        present = self._read()
        if present is not None and self.draining:
            return present.model_copy(update={"draining": True})
        return present

    def _is_due(self, present: Presence) -> bool:
        age = self._clock() - self._written_at
        return present != self._written or age >= presence.RENEWAL_S

    async def _announce(self, present: Presence) -> None:
        try:
            await self._client.put(
                present.key, present.model_dump_json().encode(), ttl=presence.TTL_S
            )
            self._watch.remember(presence.read((await self._client.list(presence.PREFIX)).entries))
        except StoreError as error:
            self._logger.debug("the presence was not written", extra={"reason": str(error)})
            return
        self._written, self._written_at = present, self._clock()
