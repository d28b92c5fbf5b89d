"""How the shared cache stands, for those who look at it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NamespaceStatus:
    """One namespace as this instance sees it.

    Attributes:
        size: Bytes of keys and values.
        unshared: Entries that only this instance has, because the store is away.
        hits, misses, writes, evictions: This instance's, since it started.
    """

    entries: int
    size: int
    unshared: int
    hits: int
    misses: int
    writes: int
    evictions: int


@dataclass(frozen=True, slots=True)
class CacheStatus:
    """The shared cache as this instance sees it, from memory.

    Attributes:
        stale_ms: Milliseconds since what is held was last known to be current; None if never.
        revision: Store revision up to which changes have been heard.
    """

    stale_ms: int | None
    revision: int
    namespaces: Mapping[str, NamespaceStatus]
