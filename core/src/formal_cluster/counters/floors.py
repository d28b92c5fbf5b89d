"""The least that a subject's record must hold after a store loss. Pure.

Instances that held the same log remember the same hits at the same log times, some of them further
than others, and older ones perhaps rounded into other spans. What they remember is merged by
maximum, not added: entries of both sides that overlap in time are the same hits, and the larger
number of them is right. So it does not matter who re-appends what, how often and in which order.
For hits kept one by one that is exact; where spans overlap, the result is one span over all of
them, which counts whole, so it may count too much and never too little.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from formal_cluster.counters.windows import HitsData


class _Entry(NamedTuple):
    first: int
    last: int
    hits: int
    is_floor: bool


class _Group(NamedTuple):
    """Entries of both sides that overlap each other and nothing else."""

    held: list[_Entry]
    floor: list[_Entry]

    @property
    def suffices(self) -> bool:
        """Whether what is held counts at least as much as the floor in every window."""
        return all(
            _total(self.held, since=entry.last) >= _total(self.floor, since=entry.last)
            for entry in self.floor
        )


def lacking(held: HitsData, floor: HitsData, until: int) -> HitsData:
    """The part of `floor` that `merged` would change `held` for.

    Args: as `merged`.
    """
    if held == floor:  # by far the most frequent case if the store kept most
        return HitsData([], [], [])
    if not held.lasts:  # and this one if it kept nothing
        return floor
    return _data(
        entry
        for group in _groups(held, floor, until)
        if not group.suffices
        for entry in group.floor
    )


def merged(held: HitsData, floor: HitsData, until: int) -> HitsData:
    """What is held and at least the floor.

    Args:
        until: Hits held that are later than this are none of the floor's: they come on top.
    """
    if not held.lasts:
        return floor
    entries: list[_Entry] = []
    for group in _groups(held, floor, until):
        if group.suffices:
            entries += group.held
        elif not group.held:
            entries += group.floor
        else:
            both = group.held + group.floor
            first, last = min(e.first for e in both), max(e.last for e in both)
            hits = max(_total(group.held, since=first), _total(group.floor, since=first))
            entries.append(_Entry(first, last, hits, is_floor=False))
    entries += [entry for entry in _entries(held, is_floor=False) if entry.last > until]
    return _data(entries)


def _groups(held: HitsData, floor: HitsData, until: int) -> Iterator[_Group]:
    entries = [entry for entry in _entries(held, is_floor=False) if entry.last <= until]
    entries += _entries(floor, is_floor=True)
    entries.sort()
    group, end = _Group([], []), None
    for entry in entries:
        if end is not None and entry.first > end:
            yield group
            group, end = _Group([], []), None
        (group.floor if entry.is_floor else group.held).append(entry)
        end = entry.last if end is None else max(end, entry.last)
    if end is not None:
        yield group


def _total(entries: Iterable[_Entry], *, since: int) -> int:
    return sum(entry.hits for entry in entries if entry.last >= since)


def _entries(data: HitsData, *, is_floor: bool) -> list[_Entry]:
    firsts = data.firsts + data.lasts[len(data.firsts) :]
    return [
        _Entry(first, last, count, is_floor)
        for first, last, count in zip(firsts, data.lasts, data.counts, strict=True)
    ]


def _data(entries: Iterable[_Entry]) -> HitsData:
    """Entries as a record holds them: what is older than a span is a span too."""
    entries = sorted(entries, key=lambda entry: entry.last)
    spans = max((n for n, e in enumerate(entries, 1) if e.first < e.last), default=0)
    return HitsData(
        [entry.first for entry in entries[:spans]],
        [entry.last for entry in entries],
        [entry.hits for entry in entries],
    )
