"""What was written while the store was away (`on_degraded = "local"`), until the store has it.

As soon as the store is back it is given what it has no entry of: what other instances agreed on
meanwhile, or before, stands.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

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
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._near = near
        self._store = store
        self._keys = keys
        self._logger = logger
        self._monotonic = monotonic
        self._expiry: dict[tuple[str, str], float] = {}

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
        self._expiry[namespace, key] = float("inf") if ttl is None else self._monotonic() + ttl

    async def run(self) -> None:
        """Give the store everything that it lacks; stops where the store is away again."""
        for namespace, space in self._near.spaces.items():
            for key, value in space.unshared().items():
                try:
                    await self._give(namespace, key, value)
                except StoreError as error:
                    self._logger.warning(
                        "what was cached while the store was away is not handed over yet",
                        extra={"namespace": namespace, "error": str(error)},
                    )
                    return

    async def _give(self, namespace: str, key: str, value: bytes) -> None:
        left = self._expiry.pop((namespace, key), float("inf")) - self._monotonic()
        life = self._near.life
        if left > 0:
            ttl = None if left == float("inf") else left
            try:
                revision = await self._store.put(
                    self._keys.entry(namespace, key), value, if_revision=0, ttl=ttl
                )
            except StoreError as error:
                self._expiry[namespace, key] = self._monotonic() + left
                if not isinstance(error, Conflict):
                    raise
            else:
                self._near.wrote(namespace, key, Held(value, revision), life=life)
        self._near.forget_unshared(namespace, key)
