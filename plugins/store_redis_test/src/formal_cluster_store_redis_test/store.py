"""The state store on Redis: puts the parts together and runs the heartbeat."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from formal_cluster.errors import ConfigError, StoreError, Unavailable
from formal_cluster.hookspecs import StoreContext
from formal_cluster.model import (
    Capability,
    Entry,
    Listing,
    StoreState,
    StoreStatus,
    WatchUpdate,
)
from formal_cluster_store_redis_test.calls import Calls
from formal_cluster_store_redis_test.keys import Keys
from formal_cluster_store_redis_test.knowledge import Knowledge
from formal_cluster_store_redis_test.links import Links
from formal_cluster_store_redis_test.pulse import Pulse
from formal_cluster_store_redis_test.settings import RedisTestSettings
from formal_cluster_store_redis_test.watch import watch


class RedisStore:
    """Implements `formal_cluster.protocols.StateStore`. One event loop may use it.

    Cancelling a caller's task abandons its request; a write so abandoned may still be applied.
    """

    def __init__(self, settings: RedisTestSettings, context: StoreContext) -> None:
        self._settings = settings
        self._logger = context.logger
        self._knowledge = Knowledge(context.logger)
        self._links = Links(settings, self._knowledge)
        calls = Calls(settings, self._links, self._knowledge)
        self._keys = Keys(calls, self._knowledge, history=settings.history_changes)
        self._pulse = Pulse(self._links, calls, self._knowledge, context.logger)
        self._task: asyncio.Task[None] | None = None
        self._crash: str | None = None

    @property
    def capabilities(self) -> frozenset[Capability]:
        """See `StateStore.capabilities`. What depends on the server is added or taken back when
        the server has been asked."""
        return self._knowledge.capabilities

    async def start(self) -> None:
        """See `StateStore.start`. If Redis is there it has been met when this returns.

        Raises:
            ConfigError: A file of `[store.redis-test.tls]` cannot be read.
        """
        tls = self._settings.tls
        for path in (tls.ca, tls.certificate, tls.key) if tls is not None else ():
            if path is not None:
                try:
                    await asyncio.to_thread(path.read_bytes)
                except OSError as error:
                    raise ConfigError(f"store.redis-test.tls: {error}; correct the path") from error
        with contextlib.suppress(StoreError):  # the pulse goes on trying, and says why not
            async with self._links.lent():
                pass
        self._task = asyncio.create_task(self._pulse.run(), name="Redis store")
        self._task.add_done_callback(self._note_crash)

    async def stop(self) -> None:
        """See `StateStore.stop`."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._links.aclose()

    def status(self) -> StoreStatus:
        """See `StateStore.status`."""
        if self._links.closed.is_set():
            return StoreStatus(StoreState.STOPPED, last_error="the store was stopped")
        if self._crash is not None:
            return StoreStatus(StoreState.FAILED, last_error=self._crash)
        if self._task is None:
            return StoreStatus(StoreState.STARTING, last_error="the store was not started")
        return self._knowledge.status()

    async def get(self, key: bytes) -> Entry | None:
        """See `StateStore.get`."""
        return await self._started().get(key)

    async def list(self, prefix: bytes) -> Listing:
        """See `StateStore.list`. Redis is asked for a page at a time."""
        return await self._started().list(prefix)

    async def put(
        self, key: bytes, value: bytes, *, if_revision: int | None = None, ttl: float | None = None
    ) -> int:
        """See `StateStore.put`. The time to live is on the server's clock."""
        revision = await self._started().put(key, value, if_revision=if_revision, ttl=ttl)
        if ttl is not None:
            self._pulse.ring(ttl)
        return revision

    async def delete(self, key: bytes, *, if_revision: int | None = None) -> int | None:
        """See `StateStore.delete`."""
        return await self._started().delete(key, if_revision=if_revision)

    def watch(
        self, prefix: bytes, *, from_revision: int | None = None
    ) -> AsyncGenerator[WatchUpdate, None]:
        """See `StateStore.watch`. It has a connection of its own."""
        return watch(self._links, prefix, from_revision)

    def _started(self) -> Keys:
        if self._task is None:
            raise Unavailable("the store was not started")
        return self._keys

    def _note_crash(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or task.exception() is None:
            return
        self._logger.critical("the Redis store has ended by a bug", exc_info=task.exception())
        self._crash = (
            f"the Redis store has ended by a bug ({task.exception()!r}); restart this instance, "
            "and report the traceback in its log"
        )
