"""Deletes what is too much in the store, least recently written first.

Whoever writes to a namespace sees to its limits (`Space.judge`). A deletion names the revision that
it is about, so it never hits an entry that was written again, and two instances that delete the
same one do no harm.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from formal_cluster.cache.follower import Follower
from formal_cluster.cache.keys import CacheKeys
from formal_cluster.cache.near import Held, Near, Victim
from formal_cluster.errors import Conflict, StoreError
from formal_cluster.protocols import StateStore

_AT_A_TIME = 64
_CONFIRMED_WITHIN_S = 2.0


class Evictor:
    """Brings the namespaces that this instance writes to within their limits."""

    def __init__(
        self,
        near: Near,
        store: StateStore,
        keys: CacheKeys,
        follower: Follower,
        logger: logging.Logger,
    ) -> None:
        self._near = near
        self._store = store
        self._keys = keys
        self._follower = follower
        self._logger = logger
        self._wake = asyncio.Event()

    def look(self) -> None:
        """Look whether anything is too much."""
        if self._near.due():
            self._wake.set()

    async def run(self) -> None:
        """Evict until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            for namespace in self._near.due():
                await self._round(namespace)

    async def room(self, namespace: str) -> None:
        """Return when the namespace is within its limits: writers wait for the deletions."""
        space = self._near.spaces[namespace]
        while space.is_over:
            space.judge()
            self.look()
            await self._follower.changed()

    async def _round(self, namespace: str) -> None:
        """Delete some, and wait until the watch has told it: then the rest can be judged.

        Where nothing could be deleted, the watch's next update looks again.
        """
        life = self._near.life
        victims = self._near.spaces[namespace].victims(_AT_A_TIME)
        done = await asyncio.gather(*(self._evict(namespace, victim, life) for victim in victims))
        until = max(done, default=0)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CONFIRMED_WITHIN_S):
                while self._near.revision < until and self._near.life == life:
                    await self._follower.changed()

    async def _evict(self, namespace: str, victim: Victim, life: int) -> int:
        """Delete one; the revision at which that is to be seen, 0 if somebody else was faster."""
        key = self._keys.entry(namespace, victim.key)
        try:
            revision = await self._store.delete(key, if_revision=victim.revision)
        except Conflict:
            return 0  # written again or deleted meanwhile
        except StoreError as error:
            self._logger.warning(
                "a cache entry could not be evicted; the next write tries again",
                extra={"namespace": namespace, "error": str(error)},
            )
            return 0
        if revision is None:
            return 0
        self._near.spaces[namespace].evictions += 1
        self._near.wrote(namespace, victim.key, Held(None, revision), life=life)
        return revision
