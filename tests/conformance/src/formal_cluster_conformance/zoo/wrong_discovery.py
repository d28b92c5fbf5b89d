"""Wrong discovery drivers, and the right one that they are made of. See `zoo`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from formal_cluster.errors import DiscoveryUnavailable
from formal_cluster.model import Instance, InstanceState, View
from formal_cluster.protocols import Discovery
from formal_cluster_conformance.discovery.declaration import (
    DiscoveryDeclaration,
    Feature,
    Platform,
)

_POLL_S = 0.01


class ZooPlatform(Platform):
    """Instances in a dictionary."""

    def __init__(self, kind: type[HealthyDiscovery]) -> None:
        self.instances: dict[str, Instance] = {}
        self.away = False
        self._kind = kind

    def create(self, instance: str) -> Discovery:
        """See `Platform`."""
        return self._kind(self, instance)

    async def add(self) -> str:
        """See `Platform`; ids do not come in their order."""
        number = len(self.instances) + 1
        id_ = f"i{number * 7_919 % 100_003:06}"
        self.instances[id_] = Instance(
            id_, f"10.0.{number // 250}.{number % 250}", InstanceState.RUNNING
        )
        return id_

    async def stop(self, instance: str) -> None:
        """See `Platform`."""
        stopped = replace(self.instances[instance], state=InstanceState.STOPPED)
        self.instances[instance] = stopped

    async def lose(self, instance: str) -> None:
        """See `Platform`."""
        del self.instances[instance]

    async def fail(self) -> None:
        """See `Platform`."""
        self.away = True

    async def heal(self) -> None:
        """See `Platform`."""
        self.away = False


class HealthyDiscovery:
    """A driver without a fault."""

    def __init__(self, platform: ZooPlatform, me: str) -> None:
        self.platform = platform
        self.me = me
        self.dead: dict[str, Instance] = {}
        self.notes: dict[str, Any] = {}

    async def identify(self) -> Instance:
        """See `Discovery.identify`."""
        await asyncio.sleep(0)
        return self.platform.instances[self.me]

    async def discover(self) -> View:
        """See `Discovery.discover`."""
        await asyncio.sleep(0)
        if self.platform.away:
            raise DiscoveryUnavailable("the platform is away")
        seen = dict(self.platform.instances)
        self.dead |= {
            id_: each for id_, each in seen.items() if each.state is InstanceState.STOPPED
        }
        seen |= self.dead
        return View(tuple(seen[id_] for id_ in sorted(seen)))

    async def watch(self) -> AsyncGenerator[View, None]:
        """See `Discovery.watch`."""
        shown: View | None = None
        while True:
            try:
                view = await self.discover()
            except DiscoveryUnavailable:
                view = shown  # type: ignore[assignment]
            if view != shown:
                shown = view
                yield view
            await asyncio.sleep(_POLL_S)

    async def aclose(self) -> None:
        """See `Discovery.aclose`."""


class EmptyOnError(HealthyDiscovery):
    """Shows an empty view when its platform is away."""

    caught_by = "DI-ERROR-01"

    async def discover(self) -> View:
        """Nobody there."""
        try:
            return await super().discover()
        except DiscoveryUnavailable:
            return View(())


class RemembersForEver(HealthyDiscovery):
    """Shows what it saw first."""

    caught_by = "DI-FRESH-01"

    async def discover(self) -> View:
        """From a cache without an end."""
        first = self.notes.get("first") or await super().discover()
        self.notes["first"] = first
        return first


class GoneIsDead(HealthyDiscovery):
    """Takes whoever is missing for dead."""

    caught_by = "DI-STATE-03"

    async def discover(self) -> View:
        """Absence as evidence."""
        view = await super().discover()
        known: dict[str, Instance] = self.notes.setdefault("known", {})
        known |= {each.id: each for each in view.instances}
        present = {each.id for each in view.instances}
        gone = [
            replace(each, state=InstanceState.STOPPED)
            for id_, each in known.items()
            if id_ not in present
        ]
        return View(tuple(sorted([*view.instances, *gone], key=lambda each: each.id)))


class ForgetsTheDead(HealthyDiscovery):
    """Forgets a death when its platform does."""

    caught_by = "DI-STATE-04"

    async def discover(self) -> View:
        """Only what is there now."""
        self.dead.clear()
        return await super().discover()


class LosesPages(HealthyDiscovery):
    """Reads the first hundred instances only."""

    caught_by = "DI-SCALE-01"

    async def discover(self) -> View:
        """One page."""
        view = await super().discover()
        return View(view.instances[:100])


class Unsorted(HealthyDiscovery):
    """Shows instances in the order in which it heard of them."""

    caught_by = "DI-VIEW-01"

    async def discover(self) -> View:
        """As they come, the last one first."""
        view = await super().discover()
        return View(view.instances[::-1])


class WatchEndsOnError(HealthyDiscovery):
    """Its watch ends when a look fails."""

    caught_by = "DI-WATCH-03"

    async def watch(self) -> AsyncGenerator[View, None]:
        """Without a net."""
        shown: View | None = None
        while True:
            view = await self.discover()
            if view != shown:
                shown = view
                yield view
            await asyncio.sleep(_POLL_S)


class LeavesTasks(HealthyDiscovery):
    """Starts a task for its watch and never ends it."""

    caught_by = "DI-CLOSE-01"

    async def watch(self) -> AsyncGenerator[View, None]:
        """With a helper that nobody stops."""
        self.notes.setdefault("helpers", []).append(asyncio.ensure_future(asyncio.sleep(60)))
        async for view in super().watch():
            yield view


KINDS: tuple[type[HealthyDiscovery], ...] = (
    EmptyOnError,
    RemembersForEver,
    GoneIsDead,
    ForgetsTheDead,
    LosesPages,
    Unsorted,
    WatchEndsOnError,
    LeavesTasks,
)


def declare(kind: type[HealthyDiscovery]) -> DiscoveryDeclaration:
    """The declaration of a kind of driver."""

    @asynccontextmanager
    async def _open(directory: Path) -> AsyncIterator[Platform]:
        yield ZooPlatform(kind)

    def opened(directory: Path) -> AbstractAsyncContextManager[Platform]:
        return _open(directory)

    return DiscoveryDeclaration(name=kind.__name__, open=opened, features=list(Feature))
