"""The declaration of core's store `memory`: the smallest one, for a driver without any server."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from formal_cluster.protocols import StateStore
from formal_cluster.store_memory import MemoryStateStore, MemoryStore
from formal_cluster_conformance.declaration import Address, Backing, StoreDeclaration

HISTORY: Final = 3_000
_LOGGER = logging.getLogger(f"{__name__}.driver")
_LOGGER.setLevel(logging.ERROR)  # that nobody else sees its keys is no news here


class MemoryBacking(Backing):
    """Each driver has keys of its own, as in a process of its own.

    Attributes:
        memory: The keys of the driver that was started last.
    """

    def __init__(self, history: int = HISTORY) -> None:
        super().__init__()
        self.history = history
        self.memory = MemoryStore(history=history)

    def create(self, instance: int, ways: Sequence[Address]) -> StateStore:
        """See `Backing.create`."""
        return _Driver(self)

    async def probe(self, key: bytes) -> bytes | None:
        """See `Backing.probe`."""
        entry = self.memory.keyspace.get(key)
        return None if entry is None else entry.value

    async def compact(self, revision: int) -> None:
        """See `Backing.compact`: history has a fixed length, so other keys take it up."""
        while self.memory.keyspace.oldest < revision:
            self.memory.keyspace.put(b"/filling-history", b"")


class _Driver(MemoryStateStore):
    def __init__(self, backing: MemoryBacking) -> None:
        self._backing = backing
        self._own = MemoryStore(history=backing.history)
        super().__init__(self._own, _LOGGER)

    async def start(self) -> None:
        self._backing.memory = self._own
        await super().start()


@asynccontextmanager
async def open_memory(directory: Path) -> AsyncIterator[MemoryBacking]:
    """Nothing has to be started."""
    yield MemoryBacking()


DECLARATION = StoreDeclaration(
    name="memory",
    open=open_memory,
    instances=1,
    distribution="formal-cluster",
    ttl_slack_s=2.0,
    shortest_ttl_s=0.05,
)
