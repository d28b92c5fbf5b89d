"""What a discovery rule works with: a platform of its own, and drivers, closed at the end."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field

from formal_cluster.model import Instance, View
from formal_cluster.protocols import Discovery
from formal_cluster_conformance.bed import PATIENCE_S
from formal_cluster_conformance.discovery.declaration import DiscoveryDeclaration, Platform
from formal_cluster_conformance.results import Evidence, Violation


@dataclass
class DiscoveryBed:
    """One rule's platform."""

    declaration: DiscoveryDeclaration
    platform: Platform
    random: random.Random
    quick: bool
    evidence: Evidence = field(default_factory=Evidence)
    drivers: list[Discovery] = field(default_factory=list)

    def size(self, quick: int, full: int) -> int:
        """How many of something: the smaller number in a quick run."""
        return quick if self.quick else full

    def create(self, instance: str) -> Discovery:
        """A driver in this instance."""
        driver = self.platform.create(instance)
        self.drivers.append(driver)
        return driver

    def waiting(self) -> str:
        """What is waited for, in words: the suite does not follow the calls of these drivers."""
        return "the driver hangs"

    async def one(self) -> tuple[str, Discovery]:
        """A first instance, and its driver."""
        instance = await self.platform.add()
        return instance, self.create(instance)

    async def two(self) -> tuple[str, str, Discovery]:
        """Two instances, and the driver of the first."""
        me, peer = await self.platform.add(), await self.platform.add()
        return me, peer, self.create(me)


def ids(view: View) -> list[str]:
    """The instances' ids, as they come."""
    return [instance.id for instance in view.instances]


def find(view: View, id_: str) -> Instance:
    """An instance that has to be in the view."""
    for instance in view.instances:
        if instance.id == id_:
            return instance
    raise Violation(f"a view lacks {id_!r}; it has {ids(view)}")


async def until(
    views: AsyncGenerator[View, None], condition: Callable[[View], object], what: str
) -> View:
    """The first view of a watch that meets the condition."""
    latest: View | None = None
    try:
        async with asyncio.timeout(PATIENCE_S):
            async for latest in views:
                if condition(latest):
                    return latest
    except TimeoutError:
        raise Violation(f"a watch does not show {what}; its last view is {latest}") from None
    raise Violation(f"a watch ended by itself before it showed {what}")


async def first(views: AsyncGenerator[View, None]) -> View:
    """The next view of a watch."""
    return await until(views, lambda _: True, "a view")
