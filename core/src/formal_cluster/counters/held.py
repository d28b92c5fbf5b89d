"""What this instance remembers of the log from before a store loss, until the log has it again.

Meanwhile it goes on counting: local reads take what the log holds and what is remembered together,
as the log will.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from formal_cluster.counters.floors import lacking, merged
from formal_cluster.counters.fold import State
from formal_cluster.counters.packing import unpack_hits, unpack_subject
from formal_cluster.counters.records import Memory, Row
from formal_cluster.counters.restoration import LONGEST_LIFE_MS
from formal_cluster.counters.subjects import Subjects
from formal_cluster.counters.windows import HitsData
from formal_cluster.model import CounterKey


class Held:
    """The folded states that were put aside. More than one if the store was lost again meanwhile.

    Attributes:
        until: No hit in them is later than this log time.
    """

    def __init__(self) -> None:
        self._states: list[State] = []
        self.until = 0

    def put_aside(self, state: State) -> None:
        """Remember one more state. It is not changed any more."""
        self._states.append(state)
        self.until = max(self.until, state.stamp + LONGEST_LIFE_MS)

    def includes(self, state: State) -> bool:
        """Whether a state is one of those put aside."""
        return any(state is held for held in self._states)

    @property
    def writers(self) -> set[str]:
        """Everybody whose records are remembered."""
        return set(chain.from_iterable(state.writers for state in self._states))

    @property
    def windows(self) -> set[tuple[str, int]]:
        """The windows that hits were kept for, as in a batch."""
        return {
            (counter, length)
            for state in self._states
            for counter, resolution in state.resolutions.items()
            for length in resolution.lengths
        }

    def covers(self, writer: str, epoch: int, seq: int) -> bool:
        """Whether a batch is remembered."""
        return any(
            (position.epoch, position.seq) >= (epoch, seq)
            for state in self._states
            if (position := state.writers.get(writer)) is not None
        )

    def count(self, key: CounterKey, after: int, state: State) -> int:
        """The hits later than `after` when `state` lacks what is remembered. It may be too much."""
        if self.includes(state):
            return 0
        # What is later than either is not remembered here: another instance may remember more.
        until = min(self.until, state.restoration.until)
        present = _data(state, key, after)
        # As the log will have it: what was written since the loss is no part of what is remembered.
        return max(
            sum(merged(present, _data(held, key, after), until).counts) for held in self._states
        )

    def rows(self, state: State, share: float) -> Iterator[Row | None]:
        """What is remembered and `state` lacks, compared when asked for; None where it lacks none.

        Args:
            share: In [0, 1): where to begin. Instances that begin at different places re-append
                different things and find the rest done by others.
        """
        for held in self._states:
            for shared in (True, False):
                have, remember = _subjects(state, shared=shared), _subjects(held, shared=shared)
                for counter, subject, packed in remember.packed(share):
                    present = have.look_packed(counter, subject)
                    if packed == present:  # by far the most frequent case if the store kept most
                        yield None
                        continue
                    missing = _missing(held, state, counter, packed, present)
                    yield self._row(counter, unpack_subject(subject), missing, shared=shared)

    def _row(
        self, counter: str, subject: tuple[str, ...], missing: HitsData, *, shared: bool
    ) -> Row | None:
        if not missing.lasts:
            return None
        return Row(
            counter,
            None if shared else subject,
            [self.until - first for first in missing.firsts],
            [self.until - last for last in missing.lasts],
            missing.counts,
            subject[0] if shared else None,
        )


def _data(state: State, key: CounterKey, after: int) -> HitsData:
    hits = state.find(key)
    return HitsData([], [], []) if hits is None else hits.data(after)


def _subjects(state: State, *, shared: bool) -> Subjects:
    return state.tail.cells if shared else state.subjects


def _missing(
    held: State, state: State, counter: str, packed: bytes, present: bytes | None
) -> HitsData:
    """What of a held record `state` does not hold."""
    after = max(held.log_time, state.log_time) - held.resolution(counter).keep
    has = unpack_hits(present or b"").data(after)
    return lacking(has, unpack_hits(packed).data(after), state.restoration.until)


def announcement(life: int, held: Held | None) -> Memory | None:
    """What the first batch of an epoch says of its writer's memory. Nothing in a log without lives.

    Args:
        life: The log's present one.
        held: What the writer remembers from before it.
    """
    if not life:
        return None
    return Memory(life=life, more=held is not None, until=0 if held is None else held.until)
