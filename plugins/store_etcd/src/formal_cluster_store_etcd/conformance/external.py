"""Declarations: the driver on an etcd that is operated elsewhere, with one and three members.

The suite kills and pauses the members, and its proxies stand between them and each driver. The
members reach each other directly: one that is cut off from the others is played by pausing it.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final

from formal_cluster.hookspecs import StoreContext
from formal_cluster.model import Instance, View
from formal_cluster.protocols import StateStore
from formal_cluster_conformance import (
    Address,
    Backing,
    Fault,
    StoreDeclaration,
    free_ports,
)
from formal_cluster_store_etcd import plugin
from formal_cluster_store_etcd.conformance import gateway
from formal_cluster_store_etcd.conformance.listed import Listed
from formal_cluster_store_etcd.conformance.member import Member
from formal_cluster_store_etcd.member.binary import search
from formal_cluster_store_etcd.settings import EtcdSettings

_HOST: Final = "127.0.0.1"
_LOGGER: Final = logging.getLogger(__name__)


class ExternalEtcd(Backing):
    """Members that are child processes of the suite."""

    def create(self, instance: int, ways: Sequence[Address]) -> StateStore:
        """See `Backing.create`."""
        settings = EtcdSettings(endpoints=tuple(f"http://{way}" for way in ways))
        me = Instance(id=f"instance-{instance}", address=_HOST)
        return plugin.create_store(settings, StoreContext(me, Listed(me, View((me,))), _LOGGER))

    async def probe(self, key: bytes) -> bytes | None:
        """See `Backing.probe`."""
        return await gateway.value([node.address for node in self.nodes], key)

    async def compact(self, revision: int) -> None:
        """See `Backing.compact`."""
        await gateway.compact([node.address for node in self.nodes], revision)


@contextlib.asynccontextmanager
async def _open(directory: Path, *, members: int) -> AsyncIterator[ExternalEtcd]:
    binary = search(None)
    ports = free_ports(2 * members, _HOST)
    clients, peers = ports[:members], ports[members:]
    cluster = ",".join(f"m{at}=http://{_HOST}:{port}" for at, port in enumerate(peers))
    async with contextlib.AsyncExitStack() as stack:
        nodes = []
        for at, (client, peer) in enumerate(zip(clients, peers, strict=True)):
            data = directory / f"m{at}"
            command: list[str | Path] = [
                *(binary, "--name", f"m{at}", "--data-dir", data),
                *("--listen-client-urls", f"http://{_HOST}:{client}"),
                *("--advertise-client-urls", f"http://{_HOST}:{client}"),
                *("--listen-peer-urls", f"http://{_HOST}:{peer}"),
                *("--initial-advertise-peer-urls", f"http://{_HOST}:{peer}"),
                *("--initial-cluster", cluster, "--initial-cluster-token", directory.name),
                *("--heartbeat-interval", "100", "--election-timeout", "1000"),
            ]
            node = Member(
                *(f"m{at}", command, Address(_HOST, client)),
                data=data,
                peer=f"http://{_HOST}:{peers[at]}",
                others=[Address(_HOST, port) for port in clients if port != client],
            )
            nodes.append(await stack.enter_async_context(node))
            await node.restart()
        for node in nodes:
            await node.wait_listening()
        yield ExternalEtcd(nodes)


def _declare(members: int) -> StoreDeclaration:
    def opened(directory: Path) -> AbstractAsyncContextManager[Backing]:
        return _open(directory, members=members)

    return StoreDeclaration(
        name=f"etcd-external-{members}",
        open=opened,
        # The only member's disk is everything.
        faults=set(Fault) - ({Fault.WIPE} if members == 1 else set()),
        distribution="formal-cluster-store-etcd",
        # A lease lasts whole seconds and at least 1.5 election time-outs, and is ended within 1 s.
        shortest_ttl_s=2.0,
        ttl_slack_s=3.0,
        largest_value=1 << 20,
    )


ONE = _declare(1)
THREE = _declare(3)
