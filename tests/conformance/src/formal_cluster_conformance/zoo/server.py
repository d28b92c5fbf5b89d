"""The server of the zoo's stores: core's memory store, and a socket that shows whether it lives."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any, Final, Self

from formal_cluster.store_memory import MemoryStore
from formal_cluster_conformance.declaration import Address

_HISTORY: Final = 20_000


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
        self.memory = MemoryStore(history=_HISTORY)
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
