"""Which subjects are due for a look because their hits may all have expired.

A wheel of one-second slots. Each subject is in one slot: it is looked at once when that slot is
due, and is either dropped or put into the slot of its then newest hit. So a busy subject costs one
look per window, not one per hit, and the work is done a few subjects at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush

from formal_cluster.model import CounterKey

_SLOT_MS = 1_000


class ExpiryWheel:
    """Subjects in order of the time at which they are to be looked at."""

    __slots__ = ("_slots", "_times")

    def __init__(self) -> None:
        self._slots: dict[int, list[CounterKey]] = {}
        self._times: list[int] = []

    def schedule(self, key: CounterKey, at: int) -> None:
        """Have `key` looked at when time `at` has passed."""
        slot = at // _SLOT_MS + 1
        keys = self._slots.get(slot)
        if keys is None:
            self._slots[slot] = [key]
            heappush(self._times, slot)
        else:
            keys.append(key)

    def due(self, now: int, limit: int) -> Iterator[CounterKey]:
        """Take out at most `limit` subjects whose time has passed."""
        while limit > 0 and self._times and self._times[0] * _SLOT_MS <= now:
            keys = self._slots[self._times[0]]
            while keys and limit > 0:
                limit -= 1
                yield keys.pop()
            if not keys:
                del self._slots[heappop(self._times)]
