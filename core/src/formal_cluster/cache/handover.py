"""What was written while the store was away (`on_degraded = "local"`), until the store has it.

As soon as the store is back it is given what it has no entry of: what other instances agreed on
meanwhile, or before, stands.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from formal_cluster.cache.keys import CacheKeys
from formal_cluster.cache.near import Held, Near, weight
from formal_cluster.errors import CacheUnavailable, Conflict, StoreError
from formal_cluster.protocols import StateStore


class Handover:
    """Keeps what only this instance has within the namespace's limits, and gives it away."""

    def __init__(
        self,
        near: Near,
        store: StateStore,
        keys: CacheKeys,
        logger: logging.Logger,
    ) -> None:
        self._near = near
        self._store = store
        self._keys = keys
        self._logger = logger
        self._wake = asyncio.Event()
        self._reported = False
        self._expiry: dict[tuple[str, str], float] = {}
        """When each entry vanishes that only this instance has, or had; by the loop's clock."""

    def keep(self, namespace: str, key: str, value: bytes, ttl: float | None) -> None:
        """Hold an entry that cannot be written now.

        Raises:
            CacheUnavailable: The namespace's limits are reached.
        """
        space = self._near.spaces[namespace]
        others = {k: v for k, v in space.unshared().items() if k != key}
        size = sum(weight(k, v) for k, v in others.items()) + weight(key, value)
        if len(others) >= space.limits.max_entries or size > space.limits.max_bytes:
            raise CacheUnavailable(
                f"cache {namespace}: the store is away and what is held for it has reached "
                f"cache.{namespace}.max_entries or max_bytes"
            )
        self._near.keep_unshared(namespace, key, value)
        loop = asyncio.get_running_loop()
        expiry = float("inf") if ttl is None else loop.time() + ttl
        self._expiry[namespace, key] = expiry
        if ttl is not None:
            loop.call_at(expiry, self._expire, namespace, key, expiry)

    def look(self) -> None:
        """The store has spoken: try to give it what is held for it, if there is something."""
        if self._expiry:
            self._wake.set()

    async def run(self) -> None:
        """Give the store what it lacks, whenever there is something, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                for namespace, key in list(self._expiry):
                    if (namespace, key) in self._expiry:
                        await self._give(namespace, key)
            except StoreError as error:
                self._report(error)
            else:
                self._reported = False

    async def _give(self, namespace: str, key: str) -> None:
        value = self._near.spaces[namespace].get_unshared(key)
        expiry = self._expiry[namespace, key]
        left = expiry - asyncio.get_running_loop().time()
        if value is not None and left > 0:
            life = self._near.life
            name = self._keys.entry(namespace, key)
            ttl = None if expiry == float("inf") else left
            with contextlib.suppress(Conflict):
                revision = await self._store.put(name, value, if_revision=0, ttl=ttl)
                self._near.wrote(namespace, key, Held(value, revision), life=life)
        self._expire(namespace, key, expiry)

    def _expire(self, namespace: str, key: str, expiry: float) -> None:
        """Hold an entry no longer, unless it was written again meanwhile."""
        if self._expiry.get((namespace, key)) == expiry:
            self._near.forget_unshared(namespace, key)
            del self._expiry[namespace, key]

    def _report(self, error: StoreError) -> None:
        """Once, until it works again: it is tried about every second."""
        if not self._reported:
            self._logger.warning(
                "what was cached while the store was away is not handed over yet",
                extra={"entries": len(self._expiry), "error": str(error)},
            )
        self._reported = True
