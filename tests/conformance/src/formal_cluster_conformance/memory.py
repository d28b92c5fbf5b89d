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
_LOGGER = logging.getLogger(__name__)


class MemoryBacking(Backing):
    """The keys that the drivers made here share."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = MemoryStore(history=HISTORY)

    def create(self, instance: int, ways: Sequence[Address]) -> StateStore:
        """See `Backing.create`."""
        return MemoryStateStore(self.memory, _LOGGER)

    async def probe(self, key: bytes) -> bytes | None:
        """See `Backing.probe`."""
        entry = self.memory.keyspace.get(key)
        return None if entry is None else entry.value

    async def compact(self, revision: int) -> None:
        """See `Backing.compact`: history has a fixed length, so other keys take it up."""
        while self.memory.keyspace.oldest < revision:
            self.memory.keyspace.put(b"/filling-history", b"")


@asynccontextmanager
async def open_memory(directory: Path) -> AsyncIterator[MemoryBacking]:
    """Nothing has to be started."""
    yield MemoryBacking()


DECLARATION = StoreDeclaration(
    name="memory",
    open=open_memory,
    instances=1,
    distribution="formal-cluster",
    ttl_slack_s=0.5,
    shortest_ttl_s=0.05,
)
