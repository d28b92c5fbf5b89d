"""One namespace of the shared cache, in bytes: where reads come from, and what is done when the
store is away.

| `on_degraded` | `peek`, `get` | `put` | `put_if_absent` | `delete`, `get(fresh=True)` |
|---|---|---|---|---|
| `error` | raise | raises | raises | raise |
| `miss`  | None  | not stored | raises | raise |
| `local` | what is held | held here | held here | raise |
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import NoReturn, TypeVar

from formal_cluster.cache.condition import Condition
from formal_cluster.cache.evictor import Evictor
from formal_cluster.cache.follower import Follower
from formal_cluster.cache.handover import Handover
from formal_cluster.cache.keys import CacheKeys
from formal_cluster.cache.near import Held, Near, weight
from formal_cluster.errors import (
    CacheUnavailable,
    CacheValueError,
    Conflict,
    InputError,
    NotWritable,
    OutcomeUnknown,
    Unavailable,
)
from formal_cluster.protocols import StateStore
from formal_cluster.settings import CacheSettings, OnStoreAway

T = TypeVar("T")

_AWAY = (CacheUnavailable, Unavailable, NotWritable)
_BETWEEN_TRIES_S = 0.02
_monotonic = time.monotonic


@dataclass(frozen=True, slots=True)
class Parts:
    """What all namespaces of an instance share."""

    near: Near
    store: StateStore
    keys: CacheKeys
    follower: Follower
    evictor: Evictor
    handover: Handover
    condition: Condition


class Namespace:
    """Entries by key. `peek` may be called from any thread, all else from the event loop."""

    def __init__(self, name: str, settings: CacheSettings, parts: Parts) -> None:
        self.name = name
        self.settings = settings
        self._parts = parts
        self._space = parts.near.spaces[name]
        self._follower = parts.follower
        self._max_stale_s = settings.max_stale_ms / 1_000
        self._deadline_s = settings.deadline_ms / 1_000

    def peek(self, key: str) -> bytes | None:
        """The value from memory.

        Raises:
            CacheUnavailable: What is held is too old, and `on_degraded` is `error`.
        """
        space = self._space
        if _monotonic() - self._follower.heard > self._max_stale_s:
            return self._get_without_store(key, "the near cache is not current")
        # `Space.get`, written out: this is the path that a million reads a second take.
        held = space.ahead.get(key) if space.ahead else None
        if held is None:
            held = space.confirmed.get(key)
        if held is None or held[0] is None:
            space.misses += 1
            return None
        space.hits += 1
        return held[0]

    async def get(self, key: str, *, fresh: bool) -> bytes | None:
        """The value from the store.

        Raises:
            CacheUnavailable: The store does not answer, and it was asked for a fresh value or
                `on_degraded` is `error`.
        """
        try:
            value = await self._fetch(key)
        except _AWAY as error:
            if fresh:
                self._raise_away(error)
            return self._get_without_store(key, error)
        return self._space.get_unshared(key) if value is None and not fresh else value

    async def put(self, key: str, value: bytes, *, ttl: float | None) -> None:
        """Write an entry.

        Raises:
            CacheUnavailable: Certainly not written, and `on_degraded` is `error`.
            OutcomeUnknown: Perhaps written.
        """
        name, ttl = self._checked(key, value, ttl)
        try:
            await self._room()
            life = self._parts.near.life
            put = self._parts.store.put(name, value, ttl=ttl)
            self._wrote(key, value, await self._change(put), life)
        except _AWAY as error:
            if self.settings.on_degraded is OnStoreAway.ERROR:
                self._raise_away(error)
            if self.settings.on_degraded is OnStoreAway.LOCAL:
                self._parts.handover.keep(self.name, key, value, ttl)

    async def put_if_absent(self, key: str, value: bytes, *, ttl: float | None) -> bytes | None:
        """Write an entry if there is none; else the one that is there.

        Raises: as `put`; and CacheUnavailable also if `on_degraded` is `miss`.
        """
        name, ttl = self._checked(key, value, ttl)
        try:
            await self._room()
            return await self._create(key, name, value, ttl)
        except _AWAY as error:
            if self.settings.on_degraded is not OnStoreAway.LOCAL:
                self._raise_away(error)
            present = self._space.get(key)
            if present is None:
                self._parts.handover.keep(self.name, key, value, ttl)
            return present

    async def delete(self, key: str) -> bool:
        """Remove an entry; whether there was one.

        Raises:
            CacheUnavailable: Certainly not removed.
            OutcomeUnknown: Perhaps removed.
        """
        name = self._parts.keys.entry(self.name, key)
        near = self._parts.near
        life = near.life
        try:
            revision = await self._change(self._parts.store.delete(name))
        except _AWAY as error:
            self._raise_away(error)
        near.forget_unshared(self.name, key)
        if revision is not None:
            near.wrote(self.name, key, Held(None, revision), life=life)
        return revision is not None

    @property
    def is_current(self) -> bool:
        """Whether what is held was compared with the store lately enough."""
        return _monotonic() - self._follower.heard <= self._max_stale_s

    def _checked(self, key: str, value: bytes, ttl: float | None) -> tuple[bytes, float | None]:
        name = self._parts.keys.entry(self.name, key)
        most = self.settings.max_value_bytes
        if len(value) > most:
            raise CacheValueError(
                f"cache {self.name}: the value has {len(value)} bytes and at most {most} are kept "
                f"(cache.{self.name}.max_value_bytes)"
            )
        if weight(key, value) > self.settings.max_bytes:
            raise CacheValueError(
                f"cache {self.name}: key and value are larger than cache.{self.name}.max_bytes"
            )
        ttl = self.settings.ttl_seconds if ttl is None else ttl
        if ttl is not None and not 0 < ttl < float("inf"):
            raise InputError(f"ttl must be more than 0 seconds, not {ttl}", code="invalid_ttl")
        return name, ttl

    async def _room(self) -> None:
        """Return when what is in the store is known, and is within the limits."""
        self._parts.condition.check_serving()
        if self.is_current and not self._space.is_over:
            return
        try:
            async with asyncio.timeout(self._deadline_s):
                while not self.is_current:
                    self._parts.condition.check_serving()
                    await self._follower.changed()
                await self._parts.evictor.room(self.name)
        except TimeoutError:
            raise CacheUnavailable(
                f"cache {self.name}: for {self._deadline_s} s it was not known what the store "
                "holds, or nothing could be evicted"
            ) from None

    async def _fetch(self, key: str) -> bytes | None:
        name = self._parts.keys.entry(self.name, key)
        self._parts.condition.check_serving()
        life = self._parts.near.life
        try:
            async with asyncio.timeout(self._deadline_s):
                entry = await self._parts.store.get(name)
        except TimeoutError:
            raise CacheUnavailable(
                f"cache {self.name}: the store did not answer within {self._deadline_s} s"
            ) from None
        if entry is None:
            self._space.misses += 1
            return None
        self._space.hits += 1
        self._parts.near.wrote(self.name, key, Held(entry.value, entry.revision), life=life)
        return entry.value

    async def _create(self, key: str, name: bytes, value: bytes, ttl: float | None) -> bytes | None:
        """Tried again while it is not known how it ended: the store takes it once at most."""
        deadline = _monotonic() + self._deadline_s
        uncertain: OutcomeUnknown | None = None
        while True:
            life = self._parts.near.life
            try:
                put = self._parts.store.put(name, value, if_revision=0, ttl=ttl)
                self._wrote(key, value, await self._change(put), life)
            except Conflict:
                present = await self._fetch(key)
                if present is not None:
                    return None if uncertain is not None and present == value else present
            except OutcomeUnknown as error:
                uncertain = error
            except _AWAY:
                if uncertain is None:
                    raise
            else:
                return None
            if _monotonic() > deadline:
                if uncertain is not None:
                    raise uncertain
                raise CacheUnavailable(f"cache {self.name}: {key!r} comes and goes; try again")
            await asyncio.sleep(_BETWEEN_TRIES_S)

    async def _change(self, change: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self._deadline_s):
                return await change
        except TimeoutError:
            raise OutcomeUnknown(
                f"cache {self.name}: the store did not answer within {self._deadline_s} s "
                f"(cache.{self.name}.deadline_ms); the change may be made"
            ) from None

    def _wrote(self, key: str, value: bytes, revision: int, life: int) -> None:
        self._space.writes += 1
        self._parts.near.wrote(self.name, key, Held(value, revision), life=life)
        self._follower.wrote(revision)
        self._space.judge(revision)

    def _get_without_store(self, key: str, why: object) -> bytes | None:
        if self.settings.on_degraded is OnStoreAway.ERROR:
            self._raise_away(why)
        if self.settings.on_degraded is OnStoreAway.MISS:
            return None
        return self._space.get(key)

    def _raise_away(self, why: object) -> NoReturn:
        if isinstance(why, CacheUnavailable):
            raise why
        raise CacheUnavailable(
            f"cache {self.name}: {why}; see the cluster's status, or set "
            f"cache.{self.name}.on_degraded"
        ) from (why if isinstance(why, Exception) else None)
