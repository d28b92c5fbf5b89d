"""A correct store of several instances, on a server that can be lost (`server`).

Every call gives way to others at random before and after it takes effect, so that calls overlap as
they do over a network. The wrong stores are this one with a method replaced.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import TypeVar

from formal_cluster.errors import OutcomeUnknown, Unavailable
from formal_cluster.model import Capability, Entry, Listing, StoreState, StoreStatus, WatchUpdate
from formal_cluster.protocols import StateStore
from formal_cluster.store_memory import MemoryStateStore
from formal_cluster_conformance.declaration import Address, Backing, Fault, StoreDeclaration
from formal_cluster_conformance.zoo.server import Server

_T = TypeVar("_T")
_LOGGER = logging.getLogger(f"{__name__}.store")
_LOGGER.setLevel(logging.ERROR)  # that its keys are in memory is no news here


class Healthy(MemoryStateStore):
    """A store without a fault."""

    def __init__(self, server: Server) -> None:
        super().__init__(server.memory, _LOGGER)
        self.server = server

    @classmethod
    def after_failover(cls, server: Server) -> None:
        """What else happens when the server comes back."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """All there are."""
        return frozenset(Capability)

    def status(self) -> StoreStatus:
        """Serving as long as the server is there."""
        status = super().status()
        if self.server.away and status.state is StoreState.SERVING:
            return StoreStatus(StoreState.NO_QUORUM, last_error="the server is away")
        return status

    async def get(self, key: bytes) -> Entry | None:
        """See `StateStore.get`."""
        await self.ask()
        return await self.answer_read(await super().get(key))

    async def list(self, prefix: bytes) -> Listing:
        """See `StateStore.list`."""
        await self.ask()
        return await self.answer_read(await super().list(prefix))

    async def put(
        self,
        key: bytes,
        value: bytes,
        *,
        if_revision: int | None = None,
        ttl: float | None = None,
    ) -> int:
        """See `StateStore.put`."""
        await self.ask()
        return await self.answer(await super().put(key, value, if_revision=if_revision, ttl=ttl))

    async def delete(self, key: bytes, *, if_revision: int | None = None) -> int | None:
        """See `StateStore.delete`."""
        await self.ask()
        return await self.answer(await super().delete(key, if_revision=if_revision))

    async def watch(
        self, prefix: bytes, *, from_revision: int | None = None
    ) -> AsyncGenerator[WatchUpdate, None]:
        """See `StateStore.watch`."""
        async with aclosing(super().watch(prefix, from_revision=from_revision)) as updates:
            async for update in updates:
                while self.server.away:
                    await asyncio.sleep(0.001)
                yield update

    async def ask(self) -> None:
        """The way to the server."""
        await self.give_way()
        if self.server.away:
            raise Unavailable("the server is away")

    async def answer(self, result: _T) -> _T:
        """The way back of a change."""
        await self.give_way()
        if self.server.away:
            raise OutcomeUnknown("the server was lost before it answered")
        return result

    async def answer_read(self, result: _T) -> _T:
        """The way back of what was read."""
        await self.give_way()
        if self.server.away:
            raise Unavailable("the server was lost before it answered")
        return result

    async def give_way(self) -> None:
        """Let others run, now and then for a while."""
        for _ in range(self.server.dice.randrange(3)):
            await asyncio.sleep(0)


class ZooBacking(Backing):
    """A server, and drivers of one kind."""

    through_proxies = False

    def __init__(self, kind: type[Healthy], seed: int) -> None:
        self.server = Server(seed, kind.after_failover)
        self._kind = kind
        super().__init__([self.server])

    def create(self, instance: int, ways: Sequence[Address]) -> StateStore:
        """See `Backing.create`."""
        return self._kind(self.server)

    async def probe(self, key: bytes) -> bytes | None:
        """See `Backing.probe`."""
        entry = self.server.memory.keyspace.get(key)
        return None if entry is None else entry.value

    async def compact(self, revision: int) -> None:
        """See `Backing.compact`."""
        keyspace = self.server.memory.keyspace
        while keyspace.oldest < revision:
            keyspace.put(b"/filling-history", b"")


def declare(kind: type[Healthy], seed: int) -> StoreDeclaration:
    """The declaration of a kind of store."""

    @asynccontextmanager
    async def opened(directory: Path) -> AsyncIterator[Backing]:
        backing = ZooBacking(kind, seed)
        async with backing.server:
            yield backing

    return StoreDeclaration(
        name=kind.__name__,
        open=opened,
        faults=[Fault.KILL, Fault.WIPE, Fault.PAUSE, Fault.STOP_ALL],
        shortest_ttl_s=0.1,
        ttl_slack_s=1.5,
        recovery_s=5.0,
        largest_value=1 << 16,
    )
