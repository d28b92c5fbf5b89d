"""What one instance holds of the shared cache, as a function of what it heard and wrote. Pure.

For each namespace there are two layers:

    confirmed   exactly what the store held at `Near.revision`, as the watch told it
    ahead       this instance's own writes that the watch has yet to tell

A write is ahead only until the watch reaches its revision. So an older event can never replace a
newer write, whatever order they are heard in, and a caller reads what it has written. What was
written while the store was away (`UNSHARED`) is ahead until it is handed over.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final, NamedTuple

from formal_cluster.cache.keys import CacheKeys
from formal_cluster.model import EventKind, Listing, WatchUpdate

UNSHARED: Final = sys.maxsize
"""The revision of what only this instance has: newer than anything in the store."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that a namespace may hold in the store; keys count as bytes too.

    Eviction begins when less than 1/32 is free and makes 1/16 free, so that writers seldom wait.
    """

    max_entries: int
    max_bytes: int

    def allow(self, entries: int, size: int, *, but_32nds: int = 0) -> bool:
        """Whether so much is within the limits less some 32nds of them."""
        return (
            entries <= self.max_entries - self.max_entries * but_32nds // 32
            and size <= self.max_bytes - self.max_bytes * but_32nds // 32
        )


class Held(NamedTuple):
    """An entry, or with value None its absence, as of a revision."""

    value: bytes | None
    revision: int


class Victim(NamedTuple):
    """An entry that is too much, at the revision at which it is."""

    key: str
    revision: int


class Space:
    """One namespace.

    Attributes:
        confirmed: What the store held.
        ahead: Own writes that are newer than `confirmed`.
        size: Bytes of the keys and values in `confirmed`.
        hits, misses, writes, evictions: How often, since the start.
    """

    __slots__ = (
        "_judge_until",
        "_oldest_first",
        "ahead",
        "confirmed",
        "evictions",
        "hits",
        "limits",
        "misses",
        "size",
        "writes",
    )

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.confirmed: dict[str, Held] = {}
        self.ahead: dict[str, Held] = {}
        self.size = 0
        self.hits = self.misses = self.writes = self.evictions = 0
        self._judge_until = 0
        self._oldest_first: dict[str, None] = {}

    def get(self, key: str) -> bytes | None:
        """The newest value known."""
        held = self.ahead.get(key) if self.ahead else None
        if held is None:
            held = self.confirmed.get(key)
        return None if held is None else held[0]

    @property
    def is_over(self) -> bool:
        """Whether the store held more than the limits allow."""
        return not self.limits.allow(len(self.confirmed), self.size)

    @property
    def is_nearly_full(self) -> bool:
        """Whether something is to be evicted. The last entry that was written never is."""
        entries = len(self.confirmed)
        return entries > 1 and not self.limits.allow(entries, self.size, but_32nds=1)

    def victims(self, most: int) -> list[Victim]:
        """The least recently written entries, as many as have to give way, but at most `most`.

        Every instance that has heard as much finds the same ones.
        """
        entries, size = len(self.confirmed), self.size
        found: list[Victim] = []
        for key in islice(self._oldest_first, min(most, max(0, entries - 1))):
            if self.limits.allow(entries, size, but_32nds=2):
                break
            held = self.confirmed[key]
            found.append(Victim(key, held.revision))
            entries -= 1
            size -= weight(key, held.value)
        return found

    def judge(self, until: int = 1) -> None:
        """Have this instance see to the limits until the watch has reached a revision."""
        self._judge_until = max(self._judge_until, until)

    def is_due(self, revision: int) -> bool:
        """Whether this instance is to delete something, now that `revision` is reached.

        Who wrote last has seen everything that was written before, so that the limits hold as soon
        as nobody writes.
        """
        if not self._judge_until:
            return False
        if self.is_nearly_full:
            return True
        if self._judge_until <= revision:
            self._judge_until = 0
        return False

    def get_unshared(self, key: str) -> bytes | None:
        """The value if only this instance has it."""
        held = self.ahead.get(key)
        return held.value if held is not None and held.revision == UNSHARED else None

    def unshared(self) -> dict[str, bytes]:
        """What only this instance has."""
        return {
            key: held.value
            for key, held in self.ahead.items()
            if held.revision == UNSHARED and held.value is not None
        }

    def put(self, key: str, held: Held) -> None:
        """Take over a change of the store; changes must come in their order."""
        old = self.confirmed.get(key)
        if old is not None:
            self.size -= weight(key, old.value)
            del self._oldest_first[key]
        # Replaced in place: another thread that reads now finds the old value or the new one.
        self.confirmed[key] = held
        self._oldest_first[key] = None
        self.size += weight(key, held.value)

    def delete(self, key: str) -> None:
        """Take over a deletion of the store."""
        old = self.confirmed.pop(key, None)
        if old is not None:
            self.size -= weight(key, old.value)
            del self._oldest_first[key]

    def load(self, entries: Iterable[tuple[str, Held]]) -> None:
        """Begin anew with all that the store holds, least recently written first."""
        confirmed = dict(entries)
        self._oldest_first = dict.fromkeys(confirmed)
        self.size = sum(weight(key, held.value) for key, held in confirmed.items())
        self.confirmed = confirmed

    def forget_ahead(self, revision: int) -> None:
        """Forget own writes up to a revision: what the watch told is as new."""
        self.ahead = {k: held for k, held in self.ahead.items() if held.revision > revision}


class Near:
    """All namespaces of one instance.

    Attributes:
        revision: Everything up to this revision of the store has been heard; 0 for nothing.
        newest: The newest revision that is known of, from own writes too.
        life: Changes when what was heard is void because the store is not the same any more.
    """

    def __init__(self, keys: CacheKeys, namespaces: Mapping[str, Limits]) -> None:
        self._keys = keys
        self.spaces = {name: Space(limits) for name, limits in namespaces.items()}
        self.revision = 0
        self.newest = 0
        self.life = 0

    def load(self, listing: Listing, *, newest: int) -> None:
        """Begin anew with everything that the store holds.

        Args:
            newest: `newest` as it was before the listing was asked for. A store that is not as far
                has lost what it had acknowledged.
        """
        if listing.revision < newest:
            self.drop()
        entries: dict[str, list[tuple[str, Held]]] = {name: [] for name in self.spaces}
        for entry in sorted(listing.entries, key=lambda entry: entry.revision):
            namespace, key = self._keys.split(entry.key) or ("", "")
            if namespace in entries:
                entries[namespace].append((key, Held(entry.value, entry.revision)))
        for name, space in self.spaces.items():
            space.load(entries[name])
            space.forget_ahead(listing.revision)
        self._reached(listing.revision)

    def apply(self, update: WatchUpdate) -> None:
        """Take over what the watch tells. What is known already is skipped."""
        for event in update.events:
            found = self._find(event.key) if event.revision > self.revision else None
            if found is None:
                continue
            space, key = found
            if event.kind is EventKind.PUT:
                space.put(key, Held(event.value, event.revision))
            else:
                space.delete(key)
            mine = space.ahead.get(key)
            if mine is not None and mine.revision <= event.revision:
                del space.ahead[key]
        self._reached(update.revision)

    def wrote(self, namespace: str, key: str, held: Held, *, life: int) -> None:
        """Note an own change, or what a read of the store has shown.

        Args:
            life: `life` as it was before the store was asked.
        """
        ahead = self.spaces[namespace].ahead
        known = ahead.get(key)
        if known is not None and known.revision == UNSHARED:
            del ahead[key]  # the store has been asked since
            known = None
        newest = self.revision if known is None else max(self.revision, known.revision)
        if life == self.life and held.revision > newest:
            ahead[key] = held
            self.newest = max(self.newest, held.revision)

    def keep_unshared(self, namespace: str, key: str, value: bytes) -> None:
        """Hold what cannot be written to the store."""
        self.spaces[namespace].ahead[key] = Held(value, UNSHARED)

    def forget_unshared(self, namespace: str, key: str) -> None:
        """Hold it no longer; the store has an entry of its own, or it has expired."""
        held = self.spaces[namespace].ahead.get(key)
        if held is not None and held.revision == UNSHARED:
            del self.spaces[namespace].ahead[key]

    def drop(self) -> None:
        """Forget everything that came from the store: it is another one now."""
        self.life += 1
        self.revision = self.newest = 0
        for space in self.spaces.values():
            space.load(())
            space.forget_ahead(UNSHARED - 1)

    def due(self) -> list[str]:
        """The namespaces that this instance has to bring within their limits."""
        return [name for name, space in self.spaces.items() if space.is_due(self.revision)]

    def _reached(self, revision: int) -> None:
        self.revision = max(self.revision, revision)
        self.newest = max(self.newest, revision)

    def _find(self, key: bytes) -> tuple[Space, str] | None:
        found = self._keys.split(key)
        if found is None:
            return None
        space = self.spaces.get(found[0])
        return None if space is None else (space, found[1])


def weight(key: str, value: bytes | None) -> int:
    """What an entry counts for, in bytes."""
    return len(key.encode()) + len(value or b"")
