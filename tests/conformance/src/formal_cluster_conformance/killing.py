"""Kills nodes and sees them die: a fault that did not happen proves nothing.

What is watched is a connection to each node, which its death breaks, however soon it is back.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from formal_cluster_conformance.declaration import Node
from formal_cluster_conformance.results import Undecided

_BROKEN_S: Final = 5.0
_REACHED_S: Final = 20.0
_POLL_S: Final = 0.05


async def kill(nodes: Sequence[Node]) -> None:
    """End them without warning.

    Raises:
        Undecided: One cannot be reached before, or its connections outlive it.
    """
    async with contextlib.AsyncExitStack() as stack:
        broken = [await stack.enter_async_context(_connection(node)) for node in nodes]
        await asyncio.gather(*(node.kill() for node in nodes))
        for node, is_broken in zip(nodes, broken, strict=True):
            if not await is_broken():
                raise Undecided(f"{node.name} was to be killed, and its connections go on")


@asynccontextmanager
async def _connection(node: Node) -> AsyncIterator[Callable[[], Coroutine[Any, Any, bool]]]:
    """A connection to a node; yields what tells whether it is broken now or soon."""
    reader, writer = await _connected(node)

    async def is_broken() -> bool:
        try:
            async with asyncio.timeout(_BROKEN_S):
                while await reader.read(1024):
                    pass
        except TimeoutError:
            return False
        except OSError:
            pass  # reset, which is as good an end
        return True

    try:
        yield is_broken
    finally:
        writer.transport.abort()


async def _connected(node: Node) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to a node, which may still be starting after the fault before."""
    deadline = time.monotonic() + _REACHED_S
    while True:
        try:
            return await asyncio.open_connection(*node.address)
        except OSError as error:
            if time.monotonic() > deadline:
                raise Undecided(
                    f"{node.name} cannot be reached at {node.address}, so nobody would see it "
                    f"die: {error}"
                ) from error
        await asyncio.sleep(_POLL_S)
