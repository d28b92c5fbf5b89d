"""What a store's rule works with: drivers, keys of its own, seeded dice, and its evidence."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from formal_cluster.model import Event, WatchUpdate
from formal_cluster.protocols import StateStore
from formal_cluster_conformance.calls import Traced, named
from formal_cluster_conformance.declaration import NotPossible, StoreDeclaration
from formal_cluster_conformance.results import Evidence, Violation
from formal_cluster_conformance.site import Site

PATIENCE_S: Final = 15.0
"""How long a rule waits for what has to happen soon."""

_T = TypeVar("_T")


@dataclass
class Bed:
    """One rule's own corner of a site.

    Attributes:
        prefix: Only keys below it are this rule's.
        random: Seeded with the run's seed and the rule's id.
        quick: Whether to do no more than is needed to see anything.
        seed: The run's.
        shared: What rules of one run keep for each other: one fault, looked at by several rules.
    """

    site: Site
    prefix: bytes
    random: random.Random
    quick: bool
    seed: int = 0
    shared: dict[str, Any] = field(default_factory=dict)
    evidence: Evidence = field(default_factory=Evidence)

    @property
    def declaration(self) -> StoreDeclaration:
        """What the author declared."""
        return self.site.declaration

    def key(self, name: str | bytes = b"k") -> bytes:
        """A key of this rule's."""
        return self.prefix + (name.encode() if isinstance(name, str) else name)

    def size(self, quick: int, full: int) -> int:
        """How many of something: the smaller number in a quick run."""
        return quick if self.quick else full

    async def store(self, instance: int = 0) -> Traced:
        """The driver of an instance, serving."""
        return await self.site.driver(instance)

    async def two(self) -> tuple[Traced, Traced]:
        """Drivers of two instances."""
        one, other = await self.site.drivers(2)
        return one, other

    async def many(self, most: int = 3) -> list[Traced]:
        """Drivers of as many instances as there may be, up to `most`."""
        return await self.site.drivers(min(most, self.declaration.instances))

    async def probe(self, key: bytes) -> bytes | None:
        """The key's value without the driver. Raises `NotPossible`."""
        return await self.site.backing.probe(key)

    async def settled(self) -> None:
        """Wait until the declaration says that the system is as redundant as it gets.

        Raises:
            Violation: The declaration gave up waiting.
        """
        try:
            with self.site.calls.noted("settled() of the declaration's Backing"):
                await self.site.backing.settled()
        except TimeoutError as error:
            raise Violation(f"the nodes are not complete again: {named(error)}") from error

    def waiting(self) -> str:
        """What is waited for at this moment, in words."""
        return self.site.calls.waiting()


def expect(expected: object, actual: object, what: str) -> None:
    """Raise a `Violation` unless both are equal."""
    if expected != actual:
        raise Violation(f"{what}: expected {expected!r}, got {actual!r}")


def holds(condition: object, what: str) -> None:
    """Raise a `Violation` that says `what`, unless the condition is true."""
    if not condition:
        raise Violation(what)


@asynccontextmanager
async def raises(
    error: type[BaseException], what: str
) -> AsyncGenerator[list[BaseException], None]:
    """Around one call that has to raise; yields a list that takes the error.

    Raises:
        Violation: It raised nothing, or something else.
    """
    caught: list[BaseException] = []
    try:
        yield caught
    except error as raised:
        caught.append(raised)
    except (Violation, NotPossible, asyncio.CancelledError):
        raise
    except Exception as other:
        raise Violation(
            f"{what}: expected {error.__name__}, it raised {other!r} from {named(other)}"
        ) from other
    if not caught:
        raise Violation(f"{what}: expected {error.__name__}, it raised nothing")


async def eventually(condition: Callable[[], _T], what: str, within_s: float = PATIENCE_S) -> _T:
    """The first true value of a function."""
    deadline = asyncio.get_running_loop().time() + within_s
    while not (value := condition()):
        if asyncio.get_running_loop().time() > deadline:
            raise Violation(f"{what}: not within {within_s:g} s")
        await asyncio.sleep(0.005)
    return value


async def first(watch: AsyncGenerator[WatchUpdate, None], what: str) -> WatchUpdate:
    """The next update of a watch."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await anext(watch)
    except TimeoutError as error:
        raise Violation(f"{what}: the watch is silent: {named(error)}") from error
    except StopAsyncIteration:
        raise Violation(
            f"{what}: the watch ended by itself; it waits until its reader closes it, or raises"
        ) from None


async def read_to(watch: AsyncGenerator[WatchUpdate, None], revision: int) -> list[Event]:
    """All events of a watch until it says that it is at `revision`."""
    events: list[Event] = []
    while True:
        update = await first(watch, f"waiting for revision {revision}")
        events += update.events
        if update.revision >= revision:
            return events


async def changes(store: StateStore, prefix: bytes, begin: int, end: int) -> list[Event]:
    """Every change below a prefix with revisions from `begin` to `end` or later, as a watch says.

    `end` has to be a change below the prefix, or one that an idle watch will speak of.
    """
    async with aclosing(store.watch(prefix, from_revision=begin)) as watch:
        return await read_to(watch, end)
