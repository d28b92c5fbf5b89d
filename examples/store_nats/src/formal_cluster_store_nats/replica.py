"""All keys and the recent history, as one instance has them in memory. No I/O, no clock.

Messages are applied in the stream's order. A new replica begins with everything that the stream
still has (the *replay*), where superseded values and old deletions are missing; what comes later
has to be without a gap. Both are checked, because a deletion that was discarded before it was read
would leave a key behind that is not there any more.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from dataclasses import dataclass
from operator import attrgetter

from formal_cluster.model import Entry, Event, EventKind, Listing
from formal_cluster_store_nats.messages import Change, Compaction, Message

_revision = attrgetter("revision")


class HistoryLost(Exception):
    """Messages are missing that may have mattered: the replica has to be made anew."""


@dataclass(slots=True)
class _Key:
    value: bytes | None
    last: int
    """Revision of the last change, which may be a deletion."""
    oldest: int
    """Revision of the oldest of its messages that the stream may still have."""


class Replica:
    """The keys up to revision `applied`, and every change since `oldest`.

    Args:
        last: The stream's last revision when the replay began.
        messages: How many messages the stream had then.
    """

    def __init__(self, *, last: int, messages: int) -> None:
        self.applied = 0 if messages else last
        self.oldest = self.applied + 1
        self._replay_end = last
        self._to_come = messages
        self._keys: dict[bytes, _Key] = {}
        self._events: list[Event] = []
        self._due: list[tuple[float, bytes, int]] = []

    @property
    def complete(self) -> bool:
        """Whether the replay is over, and nothing was missing in it."""
        return self._to_come == 0 and self.applied >= self._replay_end

    def apply(self, message: Message, now: float) -> None:
        """Take in the next message, received at `now` on the caller's monotonic clock.

        Raises:
            HistoryLost: Others that came before it are missing.
        """
        self._advance(message.revision)
        if isinstance(message, Change):
            self._change(message, now)
        elif isinstance(message, Compaction):
            self._compacted(message.before)

    def get(self, key: bytes) -> Entry | None:
        """The key's entry."""
        held = self._keys.get(key)
        if held is None or held.value is None:
            return None
        return Entry(key, held.value, held.last)

    def below(self, prefix: bytes) -> Listing:
        """All entries below the prefix."""
        entries = (self.get(key) for key in sorted(self._keys) if key.startswith(prefix))
        return Listing(tuple(entry for entry in entries if entry is not None), self.applied)

    def revision(self, key: bytes) -> int:
        """The key's revision, 0 if it does not exist."""
        entry = self.get(key)
        return entry.revision if entry else 0

    def last_change(self, key: bytes) -> int:
        """The revision of the key's last change, a deletion too; 0 if none is known."""
        held = self._keys.get(key)
        return held.last if held else 0

    def events(self, prefix: bytes, start: int, most: int) -> tuple[tuple[Event, ...], int]:
        """Changes below the prefix from revision `start` on, and up to where they are told.

        At most `most` changes of any prefix are looked at. `start` must not be before `oldest`.
        """
        begin = bisect_left(self._events, start, key=_revision)
        some = self._events[begin : begin + most]
        end = some[-1].revision if begin + most < len(self._events) else self.applied
        return tuple(event for event in some if event.key.startswith(prefix)), end

    def overdue(self, now: float) -> list[tuple[bytes, int]]:
        """Keys, with their revisions, whose time to live has passed; each is told once."""
        found = []
        while self._due and self._due[0][0] <= now:
            _, key, revision = heapq.heappop(self._due)
            if self.revision(key) == revision:
                found.append((key, revision))
        return found

    def remind(self, key: bytes, revision: int, when: float) -> None:
        """Tell of the key again at `when`, if it is still there."""
        heapq.heappush(self._due, (when, key, revision))

    def superseded(self, before: int) -> list[tuple[bytes, int]]:
        """What a compaction may discard: keys, and for each the revision to discard up to.

        It stays right however many changes come meanwhile.
        """
        cuts = ((key, _cut(held, before)) for key, held in self._keys.items())
        return [(key, cut) for key, cut in cuts if self._keys[key].oldest < cut]

    def _advance(self, revision: int) -> None:
        if revision <= self._replay_end:
            self._to_come -= 1
        elif self._to_come:
            raise HistoryLost(f"{self._to_come} messages were discarded while they were read")
        elif revision != max(self.applied, self._replay_end) + 1:
            raise HistoryLost(f"there is nothing between revisions {self.applied} and {revision}")
        if revision != self.applied + 1:
            self._events.clear()
            self.oldest = revision
        self.applied = revision

    def _change(self, change: Change, now: float) -> None:
        held = self._keys.get(change.key)
        if held is None:
            self._keys[change.key] = _Key(change.value, change.revision, change.revision)
        else:
            held.value, held.last = change.value, change.revision
        if change.ttl is not None:
            self.remind(change.key, change.revision, now + change.ttl)
        kind = EventKind.DELETE if change.value is None else EventKind.PUT
        self._events.append(Event(kind, change.key, change.value or b"", change.revision))

    def _compacted(self, before: int) -> None:
        for key, held in list(self._keys.items()):
            cut = _cut(held, before)
            if held.last < cut:
                del self._keys[key]
            else:
                held.oldest = max(held.oldest, cut)
        del self._events[: bisect_left(self._events, before, key=_revision)]
        self.oldest = max(self.oldest, before)


def _cut(held: _Key, before: int) -> int:
    """Up to where a key's messages are of no use but to watches from before `before`."""
    return before if held.value is None else min(before, held.last)
