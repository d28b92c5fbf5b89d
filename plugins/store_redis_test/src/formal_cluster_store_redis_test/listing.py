"""A listing as of one revision, out of pages that were read one after the other. Pure.

Each page is right as of the moment it was read. What has changed between the first and the last
page is in the history, and brings the earlier pages to the revision of the last one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from formal_cluster.model import Entry, Event, EventKind


class Page(NamedTuple):
    """Consecutive entries, and the revision they were read at."""

    entries: Sequence[Entry]
    revision: int


def merge(prefix: bytes, pages: Sequence[Page], changes: Iterable[Event]) -> tuple[Entry, ...]:
    """All entries below `prefix` as of the last page's revision, sorted by key.

    Args:
        pages: At least one; together they have everything below the prefix. All but the last have
            entries.
        changes: Everything from after the first page's revision to the last's, in order.
    """
    entries = {entry.key: entry for page in pages for entry in page.entries}
    # A page answers for all keys up to its last one, and the last page for the rest.
    ends = [page.entries[-1].key for page in pages[:-1]]
    for change in changes:
        if not change.key.startswith(prefix):
            continue
        if change.revision <= pages[bisect_left(ends, change.key)].revision:
            continue
        if change.kind is EventKind.PUT:
            entries[change.key] = Entry(change.key, change.value, change.revision)
        else:
            entries.pop(change.key, None)
    return tuple(entries[key] for key in sorted(entries))


def lexical_range(prefix: bytes) -> tuple[bytes, bytes]:
    """All keys with a prefix, as Redis writes the two ends of a lexicographic range."""
    stem = prefix.rstrip(b"\xff")
    end = b"(" + stem[:-1] + bytes([stem[-1] + 1]) if stem else b"+"
    return b"[" + prefix, end
