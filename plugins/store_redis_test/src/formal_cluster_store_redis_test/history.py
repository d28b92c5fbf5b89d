"""Reads entries of the stream of changes. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from formal_cluster.model import Event, EventKind


def read(entries: Sequence[Any]) -> tuple[list[Event], int | None]:
    """The changes that entries `[id, [name, value, ...]]` of the stream tell of, and the revision
    of the last entry, which may be the beginning of a life and no change; None without entries."""
    events, revision = [], None
    for entry_id, fields in entries:
        revision = int(entry_id.partition(b"-")[0])
        match fields:
            case [b"k", key, b"v", value]:
                events.append(Event(EventKind.PUT, key, value, revision))
            case [b"k", key]:
                events.append(Event(EventKind.DELETE, key, b"", revision))
    return events, revision
