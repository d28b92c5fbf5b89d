"""What the conformance suite has to know to try this driver: a Redis that keeps everything it has
acknowledged, and one that forgets everything when it ends.

A single server: nothing takes its place while it is away. Partitions and delays are between the
drivers and it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final

from redis.asyncio import Redis

from formal_cluster.hookspecs import StoreContext
from formal_cluster.model import Instance, View
from formal_cluster.protocols import StateStore
from formal_cluster_conformance import (
    Address,
    Backing,
    Fault,
    NodeFailed,
    ProcessNode,
    StoreDeclaration,
    free_port,
)
from formal_cluster_store_redis_test import plugin
from formal_cluster_store_redis_test.layout import Layout
from formal_cluster_store_redis_test.settings import RedisTestSettings

_HOST: Final = "127.0.0.1"
_LOGGER: Final = logging.getLogger(__name__)
_KEEPS: Final = ("--appendonly", "yes", "--appendfsync", "always", "--save", "")
_FORGETS: Final = ("--appendonly", "no", "--save", "")
_LAYOUT: Final = Layout(RedisTestSettings().key_prefix)


class _Alone:
    """Discovery of an instance that needs none."""

    def __init__(self, me: Instance) -> None:
        self._me = me

    async def identify(self) -> Instance:
        return self._me

    async def discover(self) -> View:
        return View((self._me,))

    async def watch(self) -> AsyncGenerator[View, None]:
        yield View((self._me,))
        await asyncio.Event().wait()

    async def aclose(self) -> None:
        pass


class RedisBacking(Backing):
    """One server that is a child process of the suite."""

    def __init__(self, node: ProcessNode) -> None:
        super().__init__([node])

    def create(self, instance: int, ways: Sequence[Address]) -> StateStore:
        """See `Backing.create`."""
        settings = RedisTestSettings(url=f"redis://{ways[0]}/0")
        me = Instance(id=f"instance-{instance}", address=_HOST)
        return plugin.create_store(settings, StoreContext(me, _Alone(me), _LOGGER))

    async def probe(self, key: bytes) -> bytes | None:
        """See `Backing.probe`."""
        async with self._direct() as client:
            value = await client.hget(_LAYOUT.values, key)
        assert not isinstance(value, str), "answers are not decoded"
        return value

    async def compact(self, revision: int) -> None:
        """See `Backing.compact`."""
        async with self._direct() as client, client.pipeline(transaction=True) as both:
            both.xtrim(_LAYOUT.log, minid=revision, approximate=False)
            both.hset(_LAYOUT.meta, "oldest", revision)
            await both.execute()

    def _direct(self) -> Redis:
        address = self.nodes[0].address
        return Redis(host=address.host, port=address.port)


@contextlib.asynccontextmanager
async def _open(directory: Path, options: Sequence[str]) -> AsyncIterator[RedisBacking]:
    binary = shutil.which("redis-server")
    if binary is None:
        raise NodeFailed("no redis-server on PATH; install Redis 7.0 or newer")
    address = Address(_HOST, free_port(_HOST))
    data = directory / "redis"
    command = [
        *(binary, "--bind", address.host, "--port", str(address.port), "--dir", str(data)),
        *options,
    ]
    async with ProcessNode("redis", command, address, data=data) as node:
        await node.restart()
        await node.wait_listening()
        yield RedisBacking(node)


def _declare(name: str, options: Sequence[str], faults: Sequence[Fault]) -> StoreDeclaration:
    def opened(directory: Path) -> AbstractAsyncContextManager[Backing]:
        return _open(directory, options)

    return StoreDeclaration(
        name=name,
        open=opened,
        faults=faults,
        distribution="formal-cluster-store-redis-test",
        shortest_ttl_s=0.05,
        ttl_slack_s=1.0,
        recovery_s=10.0,
        largest_value=1 << 20,
    )


_BETWEEN: Final = (Fault.PAUSE, Fault.PARTITION, Fault.DELAY)

KEEPS: Final = _declare("redis-test", _KEEPS, [*_BETWEEN, Fault.KILL, Fault.STOP_ALL])
FORGETS: Final = _declare("redis-test-forgetful", _FORGETS, [*_BETWEEN, Fault.KILL])
