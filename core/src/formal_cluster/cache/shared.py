"""Wires the cache's parts together, starts and stops them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping

from formal_cluster.background import end
from formal_cluster.cache.condition import Condition
from formal_cluster.cache.evictor import Evictor
from formal_cluster.cache.follower import Follower
from formal_cluster.cache.handover import Handover
from formal_cluster.cache.keys import CacheKeys
from formal_cluster.cache.namespace import Namespace, Parts
from formal_cluster.cache.near import Limits, Near
from formal_cluster.cache.status import CacheStatus, NamespaceStatus
from formal_cluster.errors import ConfigError
from formal_cluster.model import Capability
from formal_cluster.protocols import StateStore
from formal_cluster.settings import CacheSettings

_NEEDED = frozenset(
    {
        Capability.COMPARE_AND_SWAP,
        Capability.LINEARIZABLE_READS,
        Capability.LIST_AT_ONE_REVISION,
        Capability.TTL,
        Capability.WATCH,
        Capability.WATCH_HISTORY,
    }
)


class SharedCache:
    """All declared namespaces of one instance. Without any it does nothing."""

    def __init__(
        self,
        settings: Mapping[str, CacheSettings],
        store: StateStore,
        prefix: bytes,
        logger: logging.Logger,
    ) -> None:
        """
        Raises:
            ConfigError: The store does not promise what a cache needs.
        """
        missing = _NEEDED - store.capabilities
        if settings and missing:
            raise ConfigError(
                f"cache.{next(iter(settings))} needs a store that declares "
                f"{', '.join(sorted(missing))}; choose another store or remove the cache"
            )
        keys = CacheKeys(prefix)
        self._near = Near(
            keys, {name: Limits(s.max_entries, s.max_bytes) for name, s in settings.items()}
        )
        self._handover = Handover(self._near, store, keys, logger)
        self._follower = Follower(self._near, store, keys.all, updated=self._look, logger=logger)
        self._evictor = Evictor(self._near, store, keys, self._follower, logger)
        parts = Parts(
            self._near,
            store,
            keys,
            self._follower,
            self._evictor,
            self._handover,
            Condition(store),
        )
        self._namespaces = {name: Namespace(name, s, parts) for name, s in settings.items()}
        self._logger = logger
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to follow the store in the background; returns at once."""
        if self._namespaces:
            self._task = asyncio.create_task(self._run(), name="cache")

    async def stop(self) -> None:
        """Follow no longer. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            await end(task)

    def namespace(self, name: str) -> Namespace:
        """A declared namespace.

        Raises:
            ConfigError: It is not declared.
        """
        try:
            return self._namespaces[name]
        except KeyError:
            known = ", ".join(self._namespaces) or "none"
            raise ConfigError(
                f"there is no cache {name!r}; declare it as [cache.{name}] (declared: {known})"
            ) from None

    def status(self) -> CacheStatus | None:
        """The present condition, from memory; None if no namespace is declared."""
        if not self._namespaces:
            return None
        age_s = time.monotonic() - self._follower.heard
        return CacheStatus(
            stale_ms=None if age_s == float("inf") else max(0, int(age_s * 1_000)),
            revision=self._near.revision,
            namespaces={
                name: NamespaceStatus(
                    entries=len(space.confirmed),
                    size=space.size,
                    unshared=len(space.unshared()) if space.ahead else 0,
                    hits=space.hits,
                    misses=space.misses,
                    writes=space.writes,
                    evictions=space.evictions,
                )
                for name, space in self._near.spaces.items()
            },
        )

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follower.run())
                group.create_task(self._evictor.run())
                group.create_task(self._handover.run())
        except Exception:
            self._logger.exception("the cache has a bug and follows the store no longer")
            raise

    def _look(self) -> None:
        self._evictor.look()
        self._handover.look()
