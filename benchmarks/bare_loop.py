"""The floor for strict hits: the least that any log on etcd has to do.

A flusher with one batch in flight overwrites its own key; a watch of everybody's keys resolves the
batch's futures in order. No counting, no time, no errors, no resuming.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import aetcd
import msgspec


class BareLoop:
    """Group-committed appends to one etcd key."""

    def __init__(self, client: aetcd.Client, key: bytes, *, prefix: bytes) -> None:
        self._client = client
        self._key = key
        self._prefix = prefix
        self._queue: list[tuple[int, asyncio.Future[int]]] = []
        self._in_flight: list[tuple[int, asyncio.Future[int]]] = []
        self._wake = asyncio.Event()
        self._landed = asyncio.Event()

    async def hit(self, number: int) -> None:
        """Append one hit and wait until the watch shows it."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._queue.append((number, future))
        self._wake.set()
        await future

    async def flush_forever(self) -> None:
        """Write batches, one in flight."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            if not self._queue:
                continue
            self._in_flight, self._queue = self._queue, []
            self._landed.clear()
            await self._client.put(
                self._key, msgspec.msgpack.encode([n for n, _ in self._in_flight])
            )
            await self._landed.wait()

    async def watch_forever(self) -> None:
        """Resolve batches as they come back."""
        watch = await self._client.watch_prefix(self._prefix)
        async for event in watch:
            msgspec.msgpack.decode(event.kv.value)
            if event.kv.key != self._key:
                continue
            for position, (_, future) in enumerate(self._in_flight):
                future.set_result(position)
            self._landed.set()


@contextlib.asynccontextmanager
async def bare_loop(
    host: str, port: int, *, key: bytes = b"/bench/bare/0"
) -> AsyncIterator[BareLoop]:
    """A running floor on the etcd at `host:port`. Several with keys of their own see each other."""
    async with aetcd.Client(host, port) as client:
        loop = BareLoop(client, key, prefix=b"/bench/bare/")
        tasks = [asyncio.create_task(loop.watch_forever())]
        await asyncio.sleep(0.2)  # aetcd gives no sign that a watch is established
        tasks.append(asyncio.create_task(loop.flush_forever()))
        try:
            yield loop
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
