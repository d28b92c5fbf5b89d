"""How long things have been so, by one clock."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class Since(Generic[Key]):
    """Seconds since each key was first given without a break.

    Args:
        clock: Seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._first: dict[Key, float] = {}

    def update(self, keys: Iterable[Key]) -> Mapping[Key, float]:
        """What is so now; everything else is forgotten."""
        now = self._clock()
        self._first = {key: self._first.get(key, now) for key in keys}
        return {key: now - first for key, first in self._first.items()}
