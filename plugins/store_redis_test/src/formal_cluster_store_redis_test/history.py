"""Reads entries of the stream of changes. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from formal_cluster.model import Event, EventKind


def event_of(entry: Sequence[Any]) -> Event:
    """The change that an entry `[id, [name, value, ...]]` of the stream tells of."""
    entry_id, fields = entry
    revision = int(entry_id.partition(b"-")[0])
    if len(fields) == 2:
        return Event(EventKind.DELETE, fields[1], b"", revision)
    return Event(EventKind.PUT, fields[1], fields[3], revision)
