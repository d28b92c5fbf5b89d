"""A driver as a rule's counting instances use it: it tells which of *them* are there.

Instances of a rule come and go faster than any driver would notice, and some are on one driver. If
the store could not tell who is there, a newcomer would wait 14 s for somebody who knows the time;
if it named instances that do not count here, for ever.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

from formal_cluster.model import Capability, Entry, Listing, StoreStatus, WatchUpdate
from formal_cluster.protocols import StateStore


class Attended:
    """Implements `StateStore` by the driver, and `PresenceStore` by what the suite knows.

    Args:
        driver: The driver under test, started and stopped by others.
        there: The instances that count at the moment.
    """

    def __init__(self, driver: StateStore, there: set[str]) -> None:
        self.driver = driver
        self._there = there

    async def present(self) -> frozenset[str]:
        """See `PresenceStore.present`."""
        return frozenset(self._there)

    @property
    def capabilities(self) -> frozenset[Capability]:
        """The driver's."""
        return self.driver.capabilities

    async def start(self) -> None:
        """The driver runs."""

    async def stop(self) -> None:
        """The driver goes on."""

    def status(self) -> StoreStatus:
        """The driver's."""
        return self.driver.status()

    async def get(self, key: bytes) -> Entry | None:
        """The driver's."""
        return await self.driver.get(key)

    async def list(self, prefix: bytes) -> Listing:
        """The driver's."""
        return await self.driver.list(prefix)

    async def put(
        self, key: bytes, value: bytes, *, if_revision: int | None = None, ttl: float | None = None
    ) -> int:
        """The driver's."""
        return await self.driver.put(key, value, if_revision=if_revision, ttl=ttl)

    async def delete(self, key: bytes, *, if_revision: int | None = None) -> int | None:
        """The driver's."""
        return await self.driver.delete(key, if_revision=if_revision)

    def watch(
        self, prefix: bytes, *, from_revision: int | None = None
    ) -> AsyncGenerator[WatchUpdate, None]:
        """The driver's."""
        return self.driver.watch(prefix, from_revision=from_revision)
