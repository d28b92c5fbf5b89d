"""One watch over all namespaces keeps the near cache coherent with the store.

A session lists what there is and follows from there. Whatever ends it (history discarded, a lost
watch, another store) begins a new one: there is one way to recover. While none follows, nothing is
*current*, which `heard` says: the cache's `on_degraded` then decides what callers get.

Hazards:
- A member that is cut off from the others goes on answering for some election time-outs, so that
  what is current is at most `max_stale_ms` plus that old. Who needs more asks the store.
- An overloaded store tells changes late, and nothing in a watch says so. An own write does: while
  it is not told, what is held counts as old as that write.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from contextlib import aclosing

from formal_cluster.cache.near import Near
from formal_cluster.errors import Compacted, FormalClusterError, StoreError, Unavailable
from formal_cluster.protocols import StateStore

_NEVER = float("-inf")
_DOUBT_EVERY_S = 1.0
_UNTOLD_AT_MOST_S = 5.0
_RETRY_S = 0.2


class Follower:
    """Brings a near cache to where the store is, and keeps it there.

    Attributes:
        heard: When everything that the store then had was held (monotonic clock, seconds).
    """

    def __init__(
        self,
        near: Near,
        store: StateStore,
        prefix: bytes,
        *,
        updated: Callable[[], None],
        logger: logging.Logger,
    ) -> None:
        """
        Args:
            updated: Called after each update of the watch.
        """
        self.heard = _NEVER
        self._near = near
        self._store = store
        self._prefix = prefix
        self._updated = updated
        self._logger = logger
        self._cluster: str | None = None
        self._last_end: str | None = None
        self._untold: tuple[int, float] | None = None
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                await self._session()
            except Exception as error:  # noqa: BLE001 - whatever ended it, reads must go on
                self._ended(_first_cause(error))
            await asyncio.sleep(_RETRY_S * (0.5 + random.random()))  # noqa: S311  spread only

    async def changed(self) -> None:
        """Wait for the next update of the watch."""
        await self._changed.wait()

    def wrote(self, revision: int) -> None:
        """Note the revision of an own change: the watch is to tell it."""
        if self._untold is None and revision > self._near.revision:
            self._untold = revision, time.monotonic()

    async def _session(self) -> None:
        self._check_cluster()
        began = time.monotonic()
        newest = self._near.newest
        listing = await self._store.list(self._prefix)
        self._near.load(listing, newest=newest)
        self._last_end = self._untold = None
        self._hear(began)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(listing.revision + 1))
            group.create_task(self._doubt())

    async def _follow(self, from_revision: int) -> None:
        updates = self._store.watch(self._prefix, from_revision=from_revision)
        async with aclosing(updates):
            async for update in updates:
                self._near.apply(update)
                self._hear(time.monotonic())
        raise Unavailable("the store ended the watch on the cache")

    async def _doubt(self) -> None:
        """Until the store is another one, or keeps an own write to itself for too long."""
        while True:
            await asyncio.sleep(_DOUBT_EVERY_S)
            self._check_cluster()
            if self._untold and self._untold[1] < time.monotonic() - _UNTOLD_AT_MOST_S:
                raise Unavailable(
                    f"the watch has not told an own write for {_UNTOLD_AT_MOST_S} s: the store is "
                    "late, or has lost it"
                )

    def _check_cluster(self) -> None:
        cluster = self._store.status().cluster_id
        if cluster is None or cluster == self._cluster:
            return
        former, self._cluster = self._cluster, cluster
        if former is not None:
            raise StoreError(f"the store was cluster {former} and is {cluster}")

    def _hear(self, when: float) -> None:
        if self._untold is None:
            self.heard = when
        elif self._near.revision >= self._untold[0]:
            self.heard = max(self.heard, self._untold[1])
            self._untold = None
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        self._updated()

    def _ended(self, error: Exception) -> None:
        repeated, self._last_end = str(error) == self._last_end, str(error)
        if isinstance(error, Compacted):
            self._logger.info("the cache's history was discarded; listing it anew")
            return
        if not isinstance(error, Unavailable):
            # It may be another store, of which nothing that is held is true.
            self._near.drop()
            self.heard, self._untold = _NEVER, None
        if repeated:
            return
        if isinstance(error, Unavailable):
            self._logger.debug("the cache is not followed", extra={"error": str(error)})
        elif isinstance(error, FormalClusterError):
            self._logger.warning(
                "following the cache ended; listing it anew", extra={"error": str(error)}
            )
        else:
            self._logger.error(
                "the cache or the store driver has a bug; starting over", exc_info=error
            )


def _first_cause(error: Exception) -> Exception:
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error
