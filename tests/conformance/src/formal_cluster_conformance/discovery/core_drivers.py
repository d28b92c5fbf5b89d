"""The declarations of core's discovery drivers `static` and `dns`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar, Final

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
from dns.rdatatype import RdataType

from formal_cluster.discovery import dns as dns_driver
from formal_cluster.discovery import static
from formal_cluster.discovery.dns_settings import DnsSettings
from formal_cluster.discovery.static import StaticSettings
from formal_cluster.hookspecs import DiscoveryContext
from formal_cluster.protocols import Discovery
from formal_cluster_conformance.discovery.declaration import (
    DiscoveryDeclaration,
    Feature,
    Platform,
)

_CONTEXT: Final = DiscoveryContext(None, logging.getLogger(__name__))


class StaticPlatform(Platform):
    """Two listed instances, for ever."""

    def __init__(self) -> None:
        self._added = iter("ab")

    def create(self, instance: str) -> Discovery:
        """See `Platform`."""
        table = {
            "self": instance,
            "instances": [{"id": id_, "address": f"{id_}.internal"} for id_ in "ab"],
        }
        settings = static.discovery_settings().model_validate(table)
        assert isinstance(settings, StaticSettings)
        return static.create_discovery(settings, _CONTEXT)

    async def add(self) -> str:
        """See `Platform`."""
        return next(self._added)


class DnsPlatform(Platform, asyncio.DatagramProtocol):
    """The addresses of a name, and the server that answers for it."""

    name: ClassVar[str] = "connector.internal."

    def __init__(self) -> None:
        self._addresses: list[str] = []
        self._count = 0
        self._is_away = False
        self.closed = asyncio.Event()

    def connection_made(self, transport: Any) -> None:
        """See `DatagramProtocol`."""
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """See `DatagramProtocol`."""
        self.closed.set()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Answer a query."""
        query = dns.message.from_wire(data)
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        if self._is_away:
            response.set_rcode(dns.rcode.SERVFAIL)
        elif query.question[0].rdtype is RdataType.A:
            response.answer.append(dns.rrset.from_text(self.name, 60, "IN", "A", *self._addresses))
        self._transport.sendto(response.to_wire(max_size=65_000), addr)

    def create(self, instance: str) -> Discovery:
        """See `Platform`."""
        settings = DnsSettings(
            names=(self.name,),
            resolvers=(f"127.0.0.1:{self._transport.get_extra_info('sockname')[1]}",),
            self_address=instance,
            interval=0.02,
            timeout=20.0,
        )
        return dns_driver.create_discovery(settings, _CONTEXT)

    async def add(self) -> str:
        """See `Platform`."""
        self._count += 1
        address = f"127.0.{self._count // 250}.{self._count % 250 + 1}"
        self._addresses.append(address)
        return address

    async def lose(self, instance: str) -> None:
        """See `Platform`."""
        self._addresses.remove(instance)

    async def fail(self) -> None:
        """See `Platform`."""
        self._is_away = True

    async def heal(self) -> None:
        """See `Platform`."""
        self._is_away = False


@asynccontextmanager
async def _open_static(directory: Path) -> AsyncIterator[Platform]:
    yield StaticPlatform()


@asynccontextmanager
async def _open_dns(directory: Path) -> AsyncIterator[Platform]:
    transport, platform = await asyncio.get_running_loop().create_datagram_endpoint(
        DnsPlatform, local_addr=("127.0.0.1", 0)
    )
    try:
        yield platform
    finally:
        transport.close()
        await platform.closed.wait()


STATIC = DiscoveryDeclaration(
    name="static",
    open=_open_static,
    features=[Feature.COMPLETE],
    distribution="formal-cluster",
)
DNS = DiscoveryDeclaration(
    name="dns",
    open=_open_dns,
    features=[Feature.CHANGES, Feature.FAILS],
    distribution="formal-cluster",
    # One answer of UDP holds no more.
    most_peers=1_000,
)
