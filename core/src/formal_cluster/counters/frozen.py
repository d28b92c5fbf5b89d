"""The folded state at one revision, for a snapshot, while the live one is folded further."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from formal_cluster.counters.windows import BASE_RESOLUTION, Hits, HitsData
from formal_cluster.model import CounterKey

if TYPE_CHECKING:
    from formal_cluster.counters.fold import State


class Frozen:
    """A state at one revision, while the live one is folded further.

    Copying a million subjects at once would stop all decisions for a second. So only their keys are
    copied, and what is about to change is put aside first.

    Attributes: As those of `State`, `subjects` excepted; unexpired hits only.
    """

    def __init__(self, state: State) -> None:
        self.revision = state.revision
        self.log_time = state.log_time
        self.wall = state.wall
        self.offsets = state.witnesses.offsets
        self.restored_until = state.restoration.until
        self.writers = dict(state.writers)
        self.resolutions = dict(state.resolutions)
        self.overflow = {
            counter: hits.data(self._expired(counter)) for counter, hits in state.overflow.items()
        }
        self._live = state.subjects
        self._keys = list(state.subjects)
        self._changed: dict[CounterKey, HitsData] = {}

    def preserve(self, key: CounterKey, hits: Hits) -> None:
        """Keep what the key has now, if it has not been kept yet."""
        if key not in self._changed:
            self._changed[key] = hits.data(self._expired(key.counter))

    def subjects(self) -> Iterator[tuple[CounterKey, HitsData]]:
        """Every subject with unexpired hits."""
        for key in self._keys:
            data = self._changed.get(key)
            if data is None:
                data = self._live[key].data(self._expired(key.counter))
            if data.lasts:
                yield key, data

    def _expired(self, counter: str) -> int:
        return self.log_time - self.resolutions.get(counter, BASE_RESOLUTION).keep
