"""A backing system in use: its nodes, the way from each instance to each node, and the drivers."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

from formal_cluster.model import StoreState
from formal_cluster_conformance.calls import Calls, Traced, named
from formal_cluster_conformance.declaration import (
    Address,
    Backing,
    Fault,
    NotPossible,
    StoreDeclaration,
)
from formal_cluster_conformance.proxy import TcpProxy
from formal_cluster_conformance.results import Violation

_START_S: Final = 20.0
_STOP_S: Final = 20.0
_POLL_S: Final = 0.01


class Site:
    """A running backing system with its drivers.

    Attributes:
        ways: The proxy from each instance (row) to each node; empty rows if there are none.
        calls: Those of its drivers.
    """

    def __init__(
        self,
        declaration: StoreDeclaration,
        backing: Backing,
        ways: Sequence[Sequence[TcpProxy]],
    ) -> None:
        self.declaration = declaration
        self.backing = backing
        self.ways = ways
        self.calls = Calls()
        self._drivers: dict[int, Traced] = {}

    def create(self, instance: int) -> Traced:
        """A driver of the instance, neither started nor looked after."""
        ways: list[Address] = [way.address for way in self.ways[instance]]
        addresses = ways or [node.address for node in self.backing.nodes]
        return Traced(self.backing.create(instance, addresses), instance, self.calls)

    async def driver(self, instance: int = 0) -> Traced:
        """The driver of the instance, serving; all are started when one is first asked for.

        Raises:
            Violation: A driver does not start, or this one does not serve in time.
        """
        # All of them: those that form a cluster together serve only together.
        for each in range(self.declaration.instances):
            if each not in self._drivers:
                await self._start(each)
        driver = self._drivers[instance]
        await self.serving(driver)
        return driver

    async def restarted(self, instance: int) -> Traced:
        """Another driver of the instance, whose `start` has just returned; perhaps it serves yet.

        Raises:
            Violation: The one before does not stop, or this one does not start.
        """
        await self.retire(instance)
        return await self._start(instance)

    async def _start(self, instance: int) -> Traced:
        driver = self._drivers[instance] = self.create(instance)
        try:
            async with asyncio.timeout(_START_S):
                await driver.start()
        except Exception as error:
            raise Violation(f"the driver does not start: {error!r} from {named(error)}") from error
        return driver

    async def drivers(self, count: int) -> list[Traced]:
        """The drivers of the first instances, all serving."""
        if count > self.declaration.instances:
            raise NotPossible(
                f"{count} instances are needed, {self.declaration.instances} are declared"
            )
        return [await self.driver(instance) for instance in range(count)]

    async def retire(self, instance: int) -> None:
        """Stop the instance's driver; the next call of `driver` makes another.

        Raises:
            Violation: It does not stop in time.
        """
        driver = self._drivers.pop(instance, None)
        if driver is None:
            return
        try:
            async with asyncio.timeout(_STOP_S):
                await driver.stop()
        except TimeoutError as error:
            raise Violation(f"the driver does not stop: {named(error)}") from error

    async def serving(self, driver: Traced) -> None:
        """Wait until the driver serves.

        Raises:
            Violation: It does not within the declared time.
        """
        within_s = self.declaration.recovery_s
        try:
            async with asyncio.timeout(within_s):
                while driver.status().state is not StoreState.SERVING:
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            status = driver.status()
            raise Violation(
                f"instance {driver.instance} does not serve within {within_s:g} s (`recovery_s` of "
                f"the declaration); its status() is {status.state}: {status.last_error}"
            ) from None

    async def stop(self) -> None:
        """Stop all drivers."""
        for instance in tuple(self._drivers):
            # That a driver does not stop is told by the rule about stopping.
            with contextlib.suppress(Violation):
                await self.retire(instance)


@contextlib.asynccontextmanager
async def open_site(declaration: StoreDeclaration) -> AsyncIterator[Site]:
    """Start the system, and end it and its drivers at the exit."""
    with tempfile.TemporaryDirectory(prefix="conformance-") as directory:
        async with contextlib.AsyncExitStack() as stack:
            backing = await stack.enter_async_context(declaration.open(Path(directory)))
            proxied = backing.through_proxies and bool(
                {Fault.PARTITION, Fault.DELAY} & frozenset(declaration.faults)
            )
            ways = [
                [await stack.enter_async_context(TcpProxy(n.address)) for n in backing.nodes]
                if proxied
                else []
                for _ in range(declaration.instances)
            ]
            site = Site(declaration, backing, ways)
            stack.push_async_callback(site.stop)
            yield site
