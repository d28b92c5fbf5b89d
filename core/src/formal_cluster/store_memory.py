"""Store driver `memory`: the whole contract of a state store, in this process and for it alone.

It is the reference for what the contract means, and lets people try policies without a state
server. It shares nothing with other instances and forgets everything when the process ends, which
its capabilities say. Drivers in one process share keys only if they are built on one
`MemoryStore`, as a test of several instances does. One event loop may use it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator

from pydantic import Field

from formal_cluster.errors import Unavailable
from formal_cluster.hookspecs import DriverSettings, StoreContext, hookimpl
from formal_cluster.model import (
    Capability,
    Entry,
    Listing,
    StoreState,
    StoreStatus,
    WatchUpdate,
)
from formal_cluster.protocols import StateStore
from formal_cluster.store_memory_keyspace import Keyspace

_CAPABILITIES = frozenset(
    {
        Capability.LINEARIZABLE_READS,
        Capability.LINEARIZABLE_WRITES,
        Capability.COMPARE_AND_SWAP,
        Capability.TTL,
        Capability.WATCH,
        Capability.WATCH_HISTORY,
        Capability.LIST_AT_ONE_REVISION,
    }
)
_DEFAULT_HISTORY = 10_000
_IDLE_UPDATE_S = 1.0


class MemorySettings(DriverSettings):
    """`[store.memory]`"""

    history: int = Field(
        default=_DEFAULT_HISTORY,
        ge=1,
        description="Number of changes kept for watches. One that falls further behind has to "
        "list again.",
    )

    @property
    def needs_discovery(self) -> bool:
        """It is not shared: there is nobody else."""
        return False


class MemoryStore:
    """The keys of one or more drivers, and the signal that something about them has changed."""

    def __init__(self, *, history: int = _DEFAULT_HISTORY) -> None:
        self.keyspace = Keyspace(history=history)
        self._changed = asyncio.Event()

    def expire(self) -> None:
        """Bring the keys to this moment: what has run out is deleted."""
        before = self.keyspace.revision
        self.keyspace.expire(_now())
        if self.keyspace.revision != before:
            self.announce()

    def announce(self) -> None:
        """Wake everyone who waits for a change."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def wait_for_change(self, longest: float) -> bool:
        """Wait for an announcement; False when `longest` seconds or a key's time ran out first."""
        try:
            async with asyncio.timeout_at(min(_now() + longest, self.keyspace.next_deadline)):
                await self._changed.wait()
        except TimeoutError:
            return False
        return True


class MemoryStateStore:
    """A `StateStore` on a `MemoryStore`. Serves as soon as it is started."""

    def __init__(self, store: MemoryStore, logger: logging.Logger) -> None:
        self._store = store
        self._logger = logger
        self._state = StoreState.STARTING

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Everything that one process can promise."""
        return _CAPABILITIES

    async def start(self) -> None:
        """Serve."""
        self._logger.warning("the store is in memory: other instances do not see it")
        self._set_state(StoreState.SERVING)

    async def stop(self) -> None:
        """Refuse further calls and end the watches. The keys stay with their `MemoryStore`."""
        self._set_state(StoreState.STOPPED)

    def status(self) -> StoreStatus:
        """Serving from start to stop, without members: there is no cluster."""
        serving = self._state is StoreState.SERVING
        return StoreStatus(
            state=self._state,
            revision=self._store.keyspace.revision,
            stale_ms=0 if serving else None,
            last_error=None if serving else self._why_not(),
        )

    async def get(self, key: bytes) -> Entry | None:
        """The key's entry."""
        await self._enter()
        return self._store.keyspace.get(key)

    async def list(self, prefix: bytes) -> Listing:
        """Every entry below `prefix`."""
        await self._enter()
        return self._store.keyspace.list(prefix)

    async def put(
        self,
        key: bytes,
        value: bytes,
        *,
        if_revision: int | None = None,
        ttl: float | None = None,
    ) -> int:
        """Write a key and return the change's revision."""
        if ttl is not None and ttl <= 0:
            raise ValueError(f"ttl must be more than 0 seconds, not {ttl}")
        await self._enter()
        deadline = None if ttl is None else _now() + ttl
        revision = self._store.keyspace.put(key, value, if_revision=if_revision, deadline=deadline)
        self._store.announce()
        return revision

    async def delete(self, key: bytes, *, if_revision: int | None = None) -> int | None:
        """Remove a key; the change's revision, or None when there was no such key."""
        await self._enter()
        revision = self._store.keyspace.delete(key, if_revision=if_revision)
        if revision is not None:
            self._store.announce()
        return revision

    def watch(
        self, prefix: bytes, *, from_revision: int | None = None
    ) -> AsyncGenerator[WatchUpdate, None]:
        """Every change below `prefix`.

        The first update comes at once and, while nothing changes, one more each second, without
        events: readers learn from it that what they hold is current.

        All watches read the one bounded history, so a slow reader costs no memory: it is told
        `Compacted` when it has fallen too far behind.
        """
        if from_revision is None:
            self._store.expire()
            from_revision = self._store.keyspace.revision + 1
        return self._watch(prefix, from_revision)

    async def _watch(self, prefix: bytes, next_revision: int) -> AsyncGenerator[WatchUpdate, None]:
        reported = -1
        while True:
            self._store.expire()
            revision = self._store.keyspace.revision
            if self._state is StoreState.STOPPED:
                raise Unavailable(self._why_not())
            # A watch may be asked to start at a revision that has yet to come.
            due = revision > reported and revision + 1 >= next_revision
            if due and self._state is StoreState.SERVING:
                events = self._store.keyspace.changes(prefix, next_revision)
                reported, next_revision = revision, revision + 1
                yield WatchUpdate(events, revision)
            elif not await self._store.wait_for_change(_IDLE_UPDATE_S):
                reported = -1

    async def _enter(self) -> None:
        # Give way first, as every store does that talks to something: a loop over store calls must
        # not starve the rest. From here to the end nothing is awaited, so a cancelled call has
        # certainly not been applied.
        await asyncio.sleep(0)
        if self._state is not StoreState.SERVING:
            raise Unavailable(self._why_not())
        self._store.expire()

    def _set_state(self, state: StoreState) -> None:
        self._state = state
        self._store.announce()

    def _why_not(self) -> str:
        return f"the memory store does not serve: it is {self._state}"


def _now() -> float:
    return asyncio.get_running_loop().time()


@hookimpl
def store_settings() -> type[DriverSettings]:
    """The settings class of `[store.memory]`."""
    return MemorySettings


@hookimpl
def create_store(settings: MemorySettings, context: StoreContext) -> StateStore:
    """Build the driver, with keys of its own."""
    return MemoryStateStore(MemoryStore(history=settings.history), context.logger)
