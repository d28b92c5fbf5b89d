"""A TCP proxy between one instance and one node, which can be cut and slowed. No root needed.

A cut is silent, as a broken network is: connections stay open and nothing passes, either way; new
ones are accepted and lead nowhere. Healing lets everything go on that has not given up meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType
from typing import Final, Self

from formal_cluster_conformance.declaration import Address

_CHUNK: Final = 1 << 16
_DIAL_S: Final = 5.0


class TcpProxy:
    """Forwards what comes to `address` to `target`.

    Attributes:
        delay_s: By how much each way is slowed, seconds.
        passed: Number of bytes forwarded.
        hindered: How often somebody wanted to connect or send while it was cut or slow.
    """

    def __init__(self, target: Address) -> None:
        self.target = target
        self.delay_s = 0.0
        self.passed = 0
        self.hindered = 0
        self._open = asyncio.Event()
        self._open.set()
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> Address:
        """Where it listens."""
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()[:2]
        return Address(host, port)

    @property
    def connections(self) -> int:
        """How many there are at this moment."""
        return len(self._connections)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        connections = tuple(self._connections)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    def cut(self) -> None:
        """Let nothing pass."""
        self._open.clear()

    def heal(self) -> None:
        """Let everything pass, at full speed."""
        self.delay_s = 0.0
        self._open.set()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Not a coroutine: asyncio would log what it raises, and keep no hold of it.
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers = [writer]
        try:
            self._note_hindrance()
            await self._open.wait()
            async with asyncio.timeout(_DIAL_S):
                there_reader, there = await asyncio.open_connection(*self.target)
            writers.append(there)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(reader, there))
                both.create_task(self._pump(there_reader, writer))
        except (OSError, TimeoutError, ExceptionGroup):
            pass  # either side has gone: the other one is told by the end of its connection
        finally:
            for each in writers:
                with contextlib.suppress(OSError, RuntimeError):
                    each.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one direction; ends both by an error when it ends."""
        while chunk := await reader.read(_CHUNK):
            self._note_hindrance()
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            await self._open.wait()
            writer.write(chunk)
            await writer.drain()
            self.passed += len(chunk)
        raise ConnectionResetError

    def _note_hindrance(self) -> None:
        self.hindered += bool(self.delay_s) or not self._open.is_set()
