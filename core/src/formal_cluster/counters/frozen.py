"""The folded state at one revision, for a snapshot, while the live one is folded further."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from formal_cluster.counters.fold import State
from formal_cluster.counters.packing import oldest_kept
from formal_cluster.counters.subjects import Shard


class Part(NamedTuple):
    """One shard's subjects with unexpired hits.

    Attributes:
        shared: They are cells of the `tail`.
        hits: By subject, both packed.
    """

    shared: bool
    counter: str
    number: int
    hits: dict[bytes, bytes]


class Frozen:
    """A state at one revision, while the live one is folded further.

    Copying a million subjects at once would stop all decisions for a second. So nothing is copied:
    a shard is read in one go, and what is about to change before that is put aside first.

    Attributes: As those of `State`.
    """

    def __init__(self, state: State) -> None:
        self.revision = state.revision
        self.log_time = state.log_time
        self.wall = state.wall
        self.offsets = state.witnesses.offsets
        self.restored_until = state.restoration.until
        self.writers = dict(state.writers)
        self.resolutions = dict(state.resolutions)
        self.asked = state.retention.asked
        self._shards = [
            (shared, *shard)
            for shared, subjects in ((False, state.subjects), (True, state.tail.cells))
            for shard in subjects.shards()
            if len(shard[-1])
        ]
        self._limits = {
            counter: oldest_kept(state.expired(counter))
            for counter in {counter for _, counter, _, _ in self._shards}
        }
        self._unread: dict[Shard, dict[bytes, bytes | None]] = {
            shard: {} for _, _, _, shard in self._shards
        }

    def preserve(self, shard: Shard, subject: bytes) -> None:
        """Keep what a subject has now, if it is still to be read and has not been kept yet."""
        kept = self._unread.get(shard)
        if kept is not None and subject not in kept:
            kept[subject] = shard.look_packed(subject)

    def parts(self) -> Iterator[Part]:
        """Everything, once. Folding may go on between one part and the next."""
        for shared, counter, number, shard in self._shards:
            limit = self._limits[counter]
            hits: dict[bytes, bytes | None] = {**shard.all_packed(), **self._unread.pop(shard)}
            unexpired = {
                subject: packed
                for subject, packed in hits.items()
                if packed is not None and packed >= limit
            }
            if unexpired:
                yield Part(shared, counter, number, unexpired)


def freeze(state: State) -> Frozen:
    """A view of the state as it is now, to be read while folding goes on.

    There is one at a time; `thaw` ends it.
    """
    frozen = Frozen(state)
    state.subjects.preserve = state.tail.cells.preserve = frozen.preserve
    return frozen


def thaw(state: State) -> None:
    """Stop keeping what a frozen view has not read yet."""
    state.subjects.preserve = state.tail.cells.preserve = None
