"""A correct store of several instances, on core's memory store, with a server that can be lost.

Every call gives way to others at random before and after it takes effect, so that calls overlap as
they do over a network. The wrong stores are this one with a method replaced.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from formal_cluster.errors import OutcomeUnknown, Unavailable
from formal_cluster.model import Capability, Entry, Listing, StoreState, StoreStatus, WatchUpdate
from formal_cluster.protocols import StateStore
from formal_cluster.store_memory import MemoryStateStore, MemoryStore
from formal_cluster_conformance.declaration import Address, Backing, Fault, StoreDeclaration

_T = TypeVar("_T")
HISTORY: Final = 20_000
_LOGGER = logging.getLogger(f"{__name__}.store")
_LOGGER.setLevel(logging.ERROR)  # that its keys are in memory is no news here
_ON_DISK: Final = frozenset(Capability)


class Server:
    """What the drivers of one backing system share; a node that is not even a process.

    Attributes:
        away: Whether it answers nothing.
        failovers: How often it was lost and came back.
        wiped: How often one of its disks was emptied; the others of the system had it all.
        dice: Seeded.
        notes: What wrong stores remember.
    """

    name = "server"

    def __init__(self, seed: int, after_failover: Callable[[Server], None]) -> None:
        self._after_failover = after_failover
        self.memory = MemoryStore(history=HISTORY)
        self.dice = random.Random(seed)
        self.notes: dict[str, Any] = {}
        self.away = False
        self.failovers = 0
        self.wiped = 0
        self._connections = set[asyncio.StreamWriter]()
        self._socket: asyncio.Server | None = None

    @property
    def address(self) -> Address:
        """Where connections show whether it lives; nothing is said over them."""
        assert self._socket is not None
        return Address(*self._socket.sockets[0].getsockname())

    async def __aenter__(self) -> Self:
        self._socket = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._socket is not None
        self._socket.close()
        await self._hang_up()

    def _connected(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)

    async def kill(self) -> None:
        """It answers no more."""
        self.away = True
        await self._hang_up()

    async def _hang_up(self) -> None:
        while self._connections:
            self._connections.pop().transport.abort()
        await asyncio.sleep(0)

    async def restart(self, *, wipe: bool = False) -> None:
        """It answers again."""
        self.away = False
        self.failovers += 1
        self.wiped += wipe
        self._after_failover(self)
        self.memory.announce()

    async def pause(self) -> None:
        """It answers no more."""
        self.away = True

    async def resume(self) -> None:
        """It answers again, and nothing was lost over it."""
        self.away = False
        self.memory.announce()


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
        return _ON_DISK

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
    async def _open(directory: Path) -> AsyncIterator[Backing]:
        backing = ZooBacking(kind, seed)
        async with backing.server:
            yield backing

    def opened(directory: Path) -> AbstractAsyncContextManager[Backing]:
        return _open(directory)

    return StoreDeclaration(
        name=kind.__name__,
        open=opened,
        faults=[Fault.KILL, Fault.WIPE, Fault.PAUSE, Fault.STOP_ALL],
        shortest_ttl_s=0.1,
        ttl_slack_s=1.5,
        recovery_s=5.0,
        largest_value=1 << 16,
    )
