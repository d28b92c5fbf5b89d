"""Wrong stores: keys, conditions, listings, times to live. See `zoo`.

A wrong `put` names the options that its fault is about; the others it passes on.
"""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

from formal_cluster.errors import Conflict
from formal_cluster.model import Entry, Listing
from formal_cluster.store_memory import MemoryStateStore
from formal_cluster_conformance.zoo.healthy import Healthy

_REPLAYED_AT_ONCE = 20


class LostUpdate(Healthy):
    """Checks the condition, and writes a moment later without looking again."""

    caught_by = "ST-CAS-05"

    async def put(
        self, key: bytes, value: bytes, *, if_revision: int | None = None, **options: Any
    ) -> int:
        """Check, then act."""
        await self.ask()
        if if_revision is not None:
            entry = await MemoryStateStore.get(self, key)
            actual = entry.revision if entry else 0
            if actual != if_revision:
                raise Conflict("not at that revision", actual=actual)
            await asyncio.sleep(0)
        return await self.answer(await MemoryStateStore.put(self, key, value, **options))


class ConditionIgnored(Healthy):
    """Takes no notice of `if_revision`, unless it is 0."""

    caught_by = "ST-CAS-03"

    async def put(
        self, key: bytes, value: bytes, *, if_revision: int | None = None, **options: Any
    ) -> int:
        """Write in any case."""
        return await super().put(key, value, if_revision=0 if if_revision == 0 else None, **options)


class ConflictLies(Healthy):
    """Its conflicts tell a revision that the key does not have."""

    caught_by = "ST-CAS-03"

    async def put(self, key: bytes, value: bytes, **options: Any) -> int:
        """Tell the store's revision instead of the key's."""
        try:
            return await super().put(key, value, **options)
        except Conflict as conflict:
            revision = self.server.memory.keyspace.revision + 1
            raise Conflict(str(conflict), actual=revision) from conflict


class StaleReads(Healthy):
    """Reads from a copy that lags behind by a moment."""

    caught_by = "ST-CONC-01"

    async def get(self, key: bytes) -> Entry | None:
        """One in five is what was read last."""
        copies: dict[bytes, Entry | None] = self.server.notes.setdefault("copies", {})
        if key in copies and self.server.dice.random() < 0.2:
            return await self.answer_read(copies[key])
        copies[key] = await super().get(key)
        return copies[key]


class EmptyIsMissing(Healthy):
    """Takes a key with an empty value for a missing one."""

    caught_by = "ST-VALUE-01"

    async def get(self, key: bytes) -> Entry | None:
        """A truth test too many."""
        entry = await super().get(key)
        return entry if entry and entry.value else None


class DeletesWhatIsNot(Healthy):
    """Acknowledges the deletion of a key that does not exist."""

    caught_by = "ST-DEL-02"

    async def delete(self, key: bytes, *, if_revision: int | None = None) -> int | None:
        """Never None."""
        revision = await super().delete(key, if_revision=if_revision)
        return self.server.memory.keyspace.revision if revision is None else revision


class RevisionBackwards(Healthy):
    """Now and then tells the revision of a change before, as two counters would."""

    caught_by = "ST-CONC-03"

    async def put(self, key: bytes, value: bytes, **options: Any) -> int:
        """One in thirty."""
        revision = await super().put(key, value, **options)
        return max(1, revision - 6) if self.server.dice.random() < 1 / 30 else revision


class TornListing(Healthy):
    """Lists page by page, each at its own moment."""

    caught_by = "ST-LIST-05"

    async def list(self, prefix: bytes) -> Listing:
        """The second half comes later, under the first half's revision."""
        early = await super().list(prefix)
        for _ in range(4):
            await asyncio.sleep(0)
        late = await super().list(prefix)
        half = len(early.entries) // 2
        return Listing(early.entries[:half] + late.entries[half:], early.revision)


class StaleListing(Healthy):
    """Lists from a copy that is one change old."""

    caught_by = "ST-LIST-02"

    async def list(self, prefix: bytes) -> Listing:
        """The revision, too."""
        listing = await super().list(prefix)
        older = listing.revision - 1
        return Listing(tuple(e for e in listing.entries if e.revision <= older), older)


class PrefixOverflow(Healthy):
    """Computes the end of a prefix wrongly if it ends in 0xff."""

    caught_by = "ST-LIST-01"

    async def list(self, prefix: bytes) -> Listing:
        """Everything from the prefix on."""
        listing = await super().list(prefix)
        if not prefix.endswith(b"\xff"):
            return listing
        everything = await super().list(b"")
        return dataclasses.replace(
            listing, entries=tuple(entry for entry in everything.entries if entry.key >= prefix)
        )


class TtlTooEarly(Healthy):
    """Ends keys at two thirds of their time."""

    caught_by = "ST-TTL-01"

    async def put(
        self, key: bytes, value: bytes, *, ttl: float | None = None, **options: Any
    ) -> int:
        """A margin on the wrong side."""
        shorter = None if ttl is None else ttl * 2 / 3
        return await super().put(key, value, ttl=shorter, **options)


class TtlNever(Healthy):
    """Takes no notice of `ttl`."""

    caught_by = "ST-TTL-02"

    async def put(
        self, key: bytes, value: bytes, *, ttl: float | None = None, **options: Any
    ) -> int:
        """For ever."""
        return await super().put(key, value, **options)


class TtlKept(Healthy):
    """Keeps a key's first time to live when the key is written again without one."""

    caught_by = "ST-TTL-04"

    async def put(
        self, key: bytes, value: bytes, *, ttl: float | None = None, **options: Any
    ) -> int:
        """As long as it was first meant to live."""
        kept: dict[bytes, float] = self.server.notes.setdefault("ttls", {})
        if ttl is None:
            ttl = kept.get(key)
        else:
            kept[key] = ttl
        return await super().put(key, value, ttl=ttl, **options)


class HalfCancelled(Healthy):
    """A put that is given up at the wrong moment is seen by readers, and by no watch."""

    caught_by = "ST-CANCEL-01"

    async def put(self, key: bytes, value: bytes, **options: Any) -> int:
        """The key is written, and its event is lost with the caller."""
        try:
            await asyncio.sleep(0)
            return await super().put(key, value, **options)
        except asyncio.CancelledError:
            keyspace = self.server.memory.keyspace
            if keyspace.get(key) is None:
                keyspace._entries[key] = Entry(key, value, keyspace.revision)
            raise


class AnswersFromReplay(Healthy):
    """Just started, it answers from a replay of the changes that is not over yet."""

    caught_by = "ST-START-01"

    async def start(self) -> None:
        """The replay goes on with each answer, so that a slow machine sees the same."""
        await super().start()
        self._replayed, self._newest = 0, self.server.memory.keyspace.revision

    def _is_replayed(self, entry: Entry) -> bool:
        self._replayed += _REPLAYED_AT_ONCE
        return not self._replayed < entry.revision <= self._newest

    async def get(self, key: bytes) -> Entry | None:
        """As far as it has got."""
        entry = await super().get(key)
        return entry if entry and self._is_replayed(entry) else None


KINDS: tuple[type[Healthy], ...] = (
    LostUpdate,
    ConditionIgnored,
    ConflictLies,
    StaleReads,
    EmptyIsMissing,
    DeletesWhatIsNot,
    RevisionBackwards,
    TornListing,
    StaleListing,
    PrefixOverflow,
    TtlTooEarly,
    TtlNever,
    TtlKept,
    HalfCancelled,
    AnswersFromReplay,
)
