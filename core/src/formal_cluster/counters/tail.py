"""The hits of subjects beyond the cap: a Count-Min sketch whose cells are records of hits.

Each subject has one cell in each of `ROWS` rows, by a hash that is the same in every process. Its
hits go into all of them, and it reads the least of them in each window. Every cell has all its hits
and those of others that share it, so the answer can only be too much, and is too much only if each
of its cells is shared with somebody who has hits in the window.

Cells are not updated conservatively (only those that are least): what a cell has more now may
expire first, and then hits left out would be missing.

A counter has `ROWS` × `COLUMNS` cells at most. They live in `Subjects` like anybody's hits, so they
are packed, expire and are in snapshots like them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from struct import unpack

from formal_cluster.counters.packing import pack_subject
from formal_cluster.counters.subjects import Subjects
from formal_cluster.counters.windows import Hits, HitsData, Resolution
from formal_cluster.model import CounterKey

ROWS = 4
COLUMNS = 16_384
"""Both belong to the snapshots' format: cells of other sketches would be those of others."""

EVERYBODY = "*"
"""The cell that counts for all subjects on top: what earlier versions kept for all of them."""

_EXACT_ENTRIES = 8
_BEFORE_ALL = -(1 << 63)
_MOST_HOT = 4_096


class SharedHits:
    """What a subject beyond the cap reads.

    Attributes:
        total, since: As of `Hits`; `since` is before everything, so that each count is looked up.
    """

    __slots__ = ("_cells", "_everybody", "since", "total")

    def __init__(self, cells: Sequence[Hits], everybody: Hits | None) -> None:
        self._cells = cells
        self._everybody = everybody
        self.total = 0
        self.since = _BEFORE_ALL

    def count(self, after: int) -> int:
        """The hits later than `after`, perhaps with others'."""
        count = min((cell.count(after) for cell in self._cells), default=0)
        return count + (self._everybody.count(after) if self._everybody is not None else 0)

    def doubtful(self, after: int) -> int:
        """How many of `count(after)` may be others'."""
        return self.count(after)

    def data(self, after: int) -> HitsData:
        """Hits that count at least as much in every window, as spans that begin at `after`."""
        records = [min(self._cells, key=lambda cell: cell.count(after))] if self._cells else []
        if self._everybody is not None:
            records.append(self._everybody)
        entries = sorted(
            entry
            for _, lasts, counts in (record.data(after) for record in records)
            for entry in zip(lasts, counts, strict=True)
        )
        lasts = [last for last, _ in entries]
        return HitsData([after] * len(lasts), lasts, [count for _, count in entries])


class Tail:
    """The sketches of all counters.

    Attributes:
        cells: By counter and the name of the cell.
    """

    def __init__(self) -> None:
        self.cells = Subjects(most_hot=_MOST_HOT)

    def look(self, key: CounterKey) -> SharedHits | None:
        """What a subject without a record of its own reads."""
        if not len(self.cells):
            return None
        everybody = self.cells.look(_everybody(key.counter))
        try:
            cells = [self.cells.look(cell) for cell in _cells(key)]
        except UnicodeEncodeError:
            cells = []
        held = [cell for cell in cells if cell is not None]
        if len(held) < ROWS:  # one cell without hits proves that the subject has none
            held = []
        return SharedHits(held, everybody) if held or everybody is not None else None

    def add(self, key: CounterKey, at: int, count: int, now: int, resolution: Resolution) -> None:
        """Record hits of a subject; as `Hits.add`."""
        for cell in _cells(key):
            self.add_to_cell(cell, at, count, now, resolution)

    def add_to_cell(
        self, cell: CounterKey, at: int, count: int, now: int, resolution: Resolution
    ) -> None:
        """Record hits in one cell; as `Hits.add`."""
        hits = self.cells.change(cell)
        if hits is None:
            hits = Hits()
            self.cells.add(cell, hits)
        hits.add(at, count, now, resolution, _EXACT_ENTRIES)

    def refund(self, key: CounterKey, at: int, count: int) -> None:
        """Take back hits of a subject; as `Hits.refund`."""
        for cell in _cells(key):
            hits = self.cells.change(cell)
            if hits is not None:
                hits.refund(at, count)

    def sweep(self, now: int, expired: Callable[[str], int]) -> None:
        """As `Subjects.sweep`."""
        if len(self.cells):
            self.cells.sweep(now, 0, expired)


def cell_key(counter: str, cell: str | None) -> CounterKey:
    """The key of a cell by its name; None is what earlier versions kept."""
    return CounterKey(counter, (EVERYBODY if cell is None else cell,))


def _everybody(counter: str) -> CounterKey:
    return CounterKey(counter, (EVERYBODY,))


def _cells(key: CounterKey) -> list[CounterKey]:
    digest = blake2b(pack_subject(key.subject), digest_size=2 * ROWS).digest()
    return [
        CounterKey(key.counter, (f"{row}:{number % COLUMNS}",))
        for row, number in enumerate(unpack(f"<{ROWS}H", digest))
    ]
