"""What the author of a discovery driver writes: one `DiscoveryDeclaration`, and its `Platform`.

    class FilePlatform(Platform):
        def create(self, instance: str) -> Discovery:
            return FileDiscovery(self.path, instance)

        async def add(self) -> str:
            ...

    DECLARATION = DiscoveryDeclaration(
        name="file", open=open_platform, features={Feature.CHANGES, Feature.VOUCHES}
    )

It becomes known by an entry point, as a store's declaration does.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from formal_cluster.protocols import Discovery
from formal_cluster_conformance.declaration import NotPossible


class Feature(enum.StrEnum):
    """What a platform is like. What it lacks, no driver can promise."""

    CHANGES = "changes"
    """Instances come and go while a driver runs."""
    FAILS = "fails"
    """It can be away."""
    VOUCHES = "vouches"
    """It says who runs and who is dead."""
    COMPLETE = "complete"
    """It tells of all instances, and a view of it says so."""


class Platform(ABC):
    """A platform below drivers, as the suite may treat it. It begins without any instance."""

    @abstractmethod
    def create(self, instance: str) -> Discovery:
        """The driver in this instance; `instance` is an id that `add` returned."""

    @abstractmethod
    async def add(self) -> str:
        """One more instance, running; its id. Works while the platform is away, too."""

    async def add_many(self, count: int) -> list[str]:
        """So many instances."""
        return [await self.add() for _ in range(count)]

    async def stop(self, instance: str) -> None:
        """It stops, and the platform vouches for that. For `VOUCHES`."""
        raise NotPossible(f"{instance} cannot be stopped")

    async def lose(self, instance: str) -> None:
        """It is gone, and the platform does not say why. For `CHANGES`."""
        raise NotPossible(f"{instance} cannot be lost")

    async def fail(self) -> None:
        """The platform answers no more. For `FAILS`."""
        raise NotPossible("the platform cannot be away")

    async def heal(self) -> None:
        """It answers again. For `FAILS`."""
        raise NotPossible("the platform cannot be away")


@dataclass(frozen=True, kw_only=True)
class DiscoveryDeclaration:
    """One discovery driver on its platform.

    Attributes:
        open: Starts a platform without instances, given an empty directory.
        looks_for_proof: How often a driver has to look until a death is proven.
        most_peers: How many instances the platform below can play.
    """

    name: str
    open: Callable[[Path], AbstractAsyncContextManager[Platform]]
    features: Collection[Feature] = frozenset()
    distribution: str | None = None
    looks_for_proof: int = 1
    most_peers: int = 1_000

    def __post_init__(self) -> None:
        object.__setattr__(self, "features", frozenset(Feature(f) for f in self.features))
