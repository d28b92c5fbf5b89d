"""The store driver: the contract of `StateStore` in terms of the stream.

Writes go to the stream under JetStream's own condition (`Nats-Expected-Last-Subject-Sequence`).
Whatever reads is answered from memory, once a mark has shown that memory is current.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator

from formal_cluster.errors import Compacted, ConfigError, Conflict, Unavailable
from formal_cluster.model import (
    Capability,
    Entry,
    Listing,
    Role,
    StoreState,
    StoreStatus,
    WatchUpdate,
)
from formal_cluster_store_nats.answers import WrongRevision
from formal_cluster_store_nats.log import Log
from formal_cluster_store_nats.messages import headers_of, new_write
from formal_cluster_store_nats.settings import NatsSettings
from formal_cluster_store_nats.upkeep import compact, discard_old, end_overdue

_CANCEL_AGAIN_S = 2.0
_PRESENT_S = 5.0
_QUIET_S = 0.5
_EVENTS_AT_ONCE = 1000

_CAPABILITIES = frozenset(Capability) - {Capability.SURVIVES_MINORITY_LOSS}


class NatsStore:
    """A `StateStore` on one JetStream stream."""

    def __init__(self, settings: NatsSettings, instance: str, logger: logging.Logger) -> None:
        self._settings = settings
        self._log = Log(settings, instance, logger)
        self._running: asyncio.Task[None] | None = None
        self._stopped = False

    @property
    def capabilities(self) -> frozenset[Capability]:
        """All, but surviving the loss of servers only with three copies or more."""
        if self._settings.replicas < 3:
            return _CAPABILITIES
        return _CAPABILITIES | {Capability.SURVIVES_MINORITY_LOSS}

    async def start(self) -> None:
        """Connect in the background."""
        if self._running is None and not self._stopped:
            self._running = asyncio.create_task(
                self._log.run(end_overdue, discard_old), name="nats-store"
            )

    async def stop(self) -> None:
        """End the connection; calls that wait fail."""
        self._stopped = True
        running, self._running = self._running, None
        if running is None:
            return
        # Once is not enough: a task group whose tasks fail at that moment, as the connection is
        # lost, forgets that it was cancelled (CPython before 3.13).
        while not running.done():
            running.cancel()
            await asyncio.wait({running}, timeout=_CANCEL_AGAIN_S)
        if not running.cancelled():
            running.result()

    def status(self) -> StoreStatus:
        """From memory."""
        log = self._log
        confirmed = log.confirmed_at
        stale = None if confirmed is None else time.monotonic() - confirmed
        state = self._state(stale)
        error = None if state is StoreState.SERVING or log.error is None else str(log.error)
        return StoreStatus(
            state=state,
            role=Role.CLIENT,
            cluster_id=None if log.stream is None else log.stream.identity,
            revision=log.replica.applied if log.replica.complete else None,
            stale_ms=None if stale is None else round(stale * 1000),
            last_error=error,
        )

    async def get(self, key: bytes) -> Entry | None:
        """The key's entry."""
        await self._log.mark(self._deadline())
        return self._log.replica.get(key)

    async def list(self, prefix: bytes) -> Listing:
        """Every entry below the prefix."""
        await self._log.mark(self._deadline())
        return self._log.replica.below(prefix)

    async def put(
        self,
        key: bytes,
        value: bytes,
        *,
        if_revision: int | None = None,
        ttl: float | None = None,
    ) -> int:
        """Write a key."""
        deadline = self._deadline()
        if if_revision is None:
            return await self._write(key, value, deadline, ttl=ttl)
        expected = if_revision or self._after_deletion(key)
        while True:
            try:
                return await self._write(key, value, deadline, ttl=ttl, expected=expected)
            except WrongRevision:
                await self._log.mark(deadline)
                self._require(key, if_revision)
                expected = self._log.replica.last_change(key)

    async def delete(self, key: bytes, *, if_revision: int | None = None) -> int | None:
        """Remove a key."""
        deadline = self._deadline()
        while True:
            revision = self._log.replica.revision(key)
            if revision == 0 or if_revision not in (None, revision):
                await self._log.mark(deadline)
                revision = self._log.replica.revision(key)
                if if_revision is not None:
                    self._require(key, if_revision)
                if revision == 0:
                    return None
            try:
                return await self._write(key, None, deadline, expected=revision)
            except WrongRevision:
                await self._log.mark(deadline)

    async def watch(
        self, prefix: bytes, *, from_revision: int | None = None
    ) -> AsyncGenerator[WatchUpdate, None]:
        """Every change below the prefix from a revision on."""
        lineage = self._log.lineage
        await self._current()
        now = self._log.replica.applied
        position = now + 1 if from_revision is None else max(1, from_revision)
        told, told_at = 0, -_QUIET_S
        while True:
            self._refuse_if_stopped()
            replica = self._log.replica
            if self._log.lineage != lineage or (replica.complete and position < replica.oldest):
                raise Compacted(
                    f"changes from revision {position} on are gone from stream "
                    f"{self._settings.stream}; list and watch from there",
                    oldest=replica.oldest,
                )
            if replica.complete and replica.applied > told:
                events, end = replica.events(prefix, position, _EVENTS_AT_ONCE)
                if events or time.monotonic() - told_at >= _QUIET_S:
                    yield WatchUpdate(events, end)
                    told, told_at = end, time.monotonic()
                    position = max(position, end + 1)
                    continue
            await self._log.news()

    async def present(self) -> frozenset[str]:
        """The ids of the instances that have sent a mark in the last seconds."""
        await self._log.mark(self._deadline())
        now = time.monotonic()
        return frozenset(id_ for id_, seen in self._log.signs.items() if now - seen < _PRESENT_S)

    async def compact(self, revision: int) -> None:
        """Discard history before a revision now, not only when it is old.

        Waits for a connection. Raises: as `put`; then not all is discarded, perhaps.
        """
        await self._current()
        await compact(self._log, revision)

    def _state(self, stale: float | None) -> StoreState:
        if self._running is None:
            return StoreState.STOPPED if self._stopped else StoreState.STARTING
        if self._running.done() or isinstance(self._log.error, ConfigError):
            return StoreState.FAILED
        if stale is None:
            return StoreState.STARTING
        return (
            StoreState.SERVING if stale < self._settings.timeout_seconds else StoreState.NO_QUORUM
        )

    async def _write(
        self,
        key: bytes,
        value: bytes | None,
        deadline: float,
        *,
        ttl: float | None = None,
        expected: int | None = None,
    ) -> int:
        write = new_write()
        return await self._log.write(
            self._log.subjects.of_key(key),
            value or b"",
            headers_of(write=write, deletes=value is None, ttl=ttl, expected=expected),
            write=write,
            deadline=deadline,
        )

    async def _current(self) -> None:
        """Return when nothing acknowledged is missing, however long that takes."""
        while True:
            try:
                await self._log.mark(self._deadline())
            except Unavailable:
                self._refuse_if_stopped()
                await self._log.news()
            else:
                return

    def _require(self, key: bytes, revision: int) -> None:
        actual = self._log.replica.revision(key)
        if actual != revision:
            raise Conflict(
                f"{key!r} is at revision {actual}, not at {revision}; read it and try again",
                actual=actual,
            )

    def _after_deletion(self, key: bytes) -> int:
        """What JetStream takes as the last revision of a key that does not exist."""
        replica = self._log.replica
        return 0 if replica.revision(key) else replica.last_change(key)

    def _deadline(self) -> float:
        self._refuse_if_stopped()
        return asyncio.get_running_loop().time() + self._settings.timeout_seconds

    def _refuse_if_stopped(self) -> None:
        if self._running is None:
            raise Unavailable("the store was stopped, or not started yet")
