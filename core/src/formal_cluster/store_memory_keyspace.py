"""The state store's semantics as a plain data structure: keys, revisions, expiry, history.

No clock and no I/O: whoever calls says what time it is. `store_memory` puts a clock, watchers and
the driver's contract around it. Every change takes exactly one revision, expiry included.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator

from formal_cluster.errors import Compacted, Conflict
from formal_cluster.model import Entry, Event, EventKind, Listing


class Keyspace:
    """An ordered, versioned map of keys, with the newest `history` changes.

    Times are seconds on any clock that never goes back.
    """

    def __init__(self, *, history: int) -> None:
        self.revision = 0
        self._entries: dict[bytes, Entry] = {}
        self._history: deque[Event] = deque(maxlen=history)
        self._deadlines: dict[bytes, float] = {}
        self._next_deadline = math.inf

    @property
    def oldest(self) -> int:
        """The smallest revision that `changes` can start from."""
        return self.revision - len(self._history) + 1

    @property
    def next_deadline(self) -> float:
        """No key runs out before this time."""
        return self._next_deadline

    def get(self, key: bytes) -> Entry | None:
        """The key's entry."""
        return self._entries.get(key)

    def list(self, prefix: bytes) -> Listing:
        """All entries below `prefix`, sorted by key."""
        keys = sorted(key for key in self._entries if key.startswith(prefix))
        return Listing(tuple(self._entries[key] for key in keys), self.revision)

    def put(
        self,
        key: bytes,
        value: bytes,
        *,
        if_revision: int | None = None,
        deadline: float | None = None,
    ) -> int:
        """Write a key and return the change's revision. The key's earlier deadline is void.

        Raises:
            Conflict: `if_revision` did not hold.
        """
        self._check(key, if_revision)
        revision = self._record(EventKind.PUT, key, value)
        self._entries[key] = Entry(key, value, revision)
        self._deadlines.pop(key, None)
        if deadline is not None:
            self._deadlines[key] = deadline
            self._next_deadline = min(self._next_deadline, deadline)
        return revision

    def delete(self, key: bytes, *, if_revision: int | None = None) -> int | None:
        """Remove a key and return the change's revision; None when there was no such key.

        Raises:
            Conflict: `if_revision` did not hold.
        """
        self._check(key, if_revision)
        if self._entries.pop(key, None) is None:
            return None
        self._deadlines.pop(key, None)
        return self._record(EventKind.DELETE, key, b"")

    def expire(self, now: float) -> None:
        """Remove every key whose deadline is not after `now`, the earliest first."""
        if now < self._next_deadline:
            return
        due = sorted((at, key) for key, at in self._deadlines.items() if at <= now)
        for _, key in due:
            self.delete(key)
        self._next_deadline = min(self._deadlines.values(), default=math.inf)

    def changes(self, prefix: bytes, from_revision: int) -> tuple[Event, ...]:
        """Every change below `prefix` with revision ≥ `from_revision`, in order.

        Raises:
            Compacted: Some of them may have been discarded.
        """
        if from_revision < self.oldest:
            raise Compacted(
                f"history before revision {self.oldest} has been discarded, {from_revision} was "
                "asked for; list the keys and watch from there, or raise store.memory.history",
                oldest=self.oldest,
            )
        return tuple(e for e in self._since(from_revision) if e.key.startswith(prefix))

    def _since(self, revision: int) -> Iterator[Event]:
        # From the newest end: a watcher that keeps up wants only the last few of thousands.
        newest_first = []
        for event in reversed(self._history):
            if event.revision < revision:
                break
            newest_first.append(event)
        return reversed(newest_first)

    def _check(self, key: bytes, if_revision: int | None) -> None:
        entry = self._entries.get(key)
        actual = entry.revision if entry is not None else 0
        if if_revision is not None and if_revision != actual:
            raise Conflict(
                f"key {key!r} is at revision {actual}, not {if_revision}; nothing was changed",
                actual=actual,
            )

    def _record(self, kind: EventKind, key: bytes, value: bytes) -> int:
        self.revision += 1
        self._history.append(Event(kind, key, value, self.revision))
        return self.revision
