"""The hits of one subject: exact where it is cheap, rounded up where it is not.

A hit at time `t` counts in a window of length W at `now` iff `now - t < W`. The newest hits are
kept one by one (hits of one millisecond share an entry). Older ones are merged into spans at most
1/60 as long as the narrowest window that they can still count in. A span counts whole as long as
its newest hit does, so a count may hold hits up to W/60 older than the window and never misses one.

One list of spans serves every window, also one that is first asked for after the hits happened:
for such a window spans may be coarser than W/60, but still nothing is missed. Hits are kept as
long as the longest window asked for so far; what had expired by then is gone.

Times are integers in milliseconds on any one clock. Nothing here reads a clock.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import NamedTuple

SPANS_PER_WINDOW = 60
_MERGE_SLACK = 64


class HitsData(NamedTuple):
    """The content of a `Hits`, as parallel lists in order of time.

    The first `len(firsts)` entries are spans from `firsts` to `lasts`, the others single times.
    """

    firsts: list[int]
    lasts: list[int]
    counts: list[int]


class Resolution:
    """The window lengths asked of a counter: they set how long and how finely hits are kept.

    Attributes:
        lengths: In milliseconds, ascending.
        keep: The longest of them. No hit older than this counts anywhere.
        most_spans: Number of spans at which aged ones are merged. Merging leaves about two per
            1/60 of a window at most, so the slack above that pays for the pass.
    """

    __slots__ = ("keep", "lengths", "most_spans")

    def __init__(self, lengths: Iterable[int]) -> None:
        self.lengths = tuple(sorted(set(lengths)))
        self.keep = self.lengths[-1]
        self.most_spans = 2 * SPANS_PER_WINDOW * len(self.lengths) + _MERGE_SLACK

    def with_length(self, length_ms: int) -> Resolution:
        """This one and a further window."""
        return Resolution((*self.lengths, length_ms))

    def span_ms(self, age_ms: int) -> int:
        """How far apart the first and last hit of a span whose last one is `age_ms` old may be."""
        index = min(bisect_right(self.lengths, age_ms), len(self.lengths) - 1)
        return self.lengths[index] // SPANS_PER_WINDOW


BASE_RESOLUTION = Resolution([60_000])
"""What is kept for a counter before anybody asked for a window."""


class Hits:
    """A mutable record of hits that answers how many there were after a given time.

    Attributes:
        firsts, lasts, counts: As in `HitsData`, only to be looked at. As long as `firsts` is empty,
            every count is exact.
        total: All hits held, also those that no window reaches any more.
        since: The time of the oldest of them, or earlier: what is later than any time before this
            is simply `total`, which most counts are.
    """

    # Most subjects never have a span and share one empty list of them.
    __slots__ = ("counts", "firsts", "lasts", "since", "total")

    def __init__(self) -> None:
        self.firsts: list[int] = _NO_SPANS
        self.lasts: list[int] = []
        self.counts: list[int] = []
        self.total = 0
        self.since = _NEVER

    @classmethod
    def restore(cls, data: HitsData) -> Hits:
        """The inverse of `data`."""
        hits = cls()
        hits.replace(data)
        return hits

    @property
    def newest(self) -> int | None:
        """Time of the newest hit; None when there is none."""
        return self.lasts[-1] if self.lasts else None

    def count(self, after: int) -> int:
        """The hits later than `after`, and `doubtful(after)` that may have been earlier."""
        lasts = self.lasts
        if not lasts or lasts[0] > after:
            return self.total
        index = bisect_right(lasts, after)
        counts = self.counts
        if index <= len(counts) >> 1:
            return self.total - sum(counts[:index])
        return sum(counts[index:])

    def doubtful(self, after: int) -> int:
        """How many of `count(after)` may have happened before."""
        firsts = self.firsts
        if firsts and firsts[0] <= after:
            index = bisect_right(self.lasts, after)
            if index < len(firsts) and firsts[index] <= after:
                return self.counts[index]
        return 0

    def add(self, at: int, count: int, now: int, resolution: Resolution, exact: int) -> None:
        """Record hits that happened at `at`, and drop and merge what has aged by `now`.

        Args:
            exact: How many of the newest entries are kept one by one, and up to a quarter more:
                rounding them one by one would cost as much as all the rest.
        """
        lasts = self.lasts
        if lasts and lasts[0] <= now - resolution.keep:
            self.expire(now - resolution.keep)
        if not lasts:
            self.since = at
            lasts.append(at)
            self.counts.append(count)
        elif at > lasts[-1]:
            lasts.append(at)
            self.counts.append(count)
        elif at == lasts[-1]:
            self.counts[-1] += count
        else:
            self._insert(at, count, now, resolution)
        self.total += count
        single = len(lasts) - len(self.firsts)
        if single > exact + (exact >> 2):
            self._round_oldest(single - exact, now, resolution)

    def replace(self, data: HitsData) -> None:
        """Hold other hits from now on."""
        self.firsts = data.firsts or _NO_SPANS
        self.lasts = data.lasts
        self.counts = data.counts
        self.total = sum(data.counts)
        self._note_oldest()

    def refund(self, at: int, count: int) -> None:
        """Take back hits that were added at `at`, as far as they are still held."""
        index = bisect_left(self.lasts, at)
        if index == len(self.lasts) or self._first(index) > at:
            return
        taken = min(count, self.counts[index])
        self.counts[index] -= taken
        self.total -= taken
        if self.counts[index] == 0:
            self._delete(slice(index, index + 1))

    def expire(self, until: int) -> None:
        """Drop what happened at `until` or before."""
        index = bisect_right(self.lasts, until)
        if index:
            self.total -= sum(self.counts[:index])
            self._delete(slice(0, index))

    def data(self, after: int) -> HitsData:
        """A copy of what is held and has hits later than `after`."""
        start = bisect_right(self.lasts, after)
        return HitsData(self.firsts[start:], self.lasts[start:], self.counts[start:])

    def _note_oldest(self) -> None:
        self.since = self._first(0) if self.lasts else _NEVER

    def _first(self, index: int) -> int:
        return self.firsts[index] if index < len(self.firsts) else self.lasts[index]

    def _insert(self, at: int, count: int, now: int, resolution: Resolution) -> None:
        """Put a late hit where it belongs."""
        index = bisect_left(self.lasts, at)
        if self._first(index) <= at:
            self.counts[index] += count
            return
        self.lasts.insert(index, at)
        self.counts.insert(index, count)
        self.since = min(self.since, at)
        if index < len(self.firsts):
            self.firsts.insert(index, at)
            self._merge_spans_if_many(now, resolution)

    def _delete(self, where: slice) -> None:
        del self.lasts[where]
        del self.counts[where]
        if self.firsts:
            del self.firsts[where]
        self._note_oldest()

    def _round_oldest(self, entries: int, now: int, resolution: Resolution) -> None:
        """Turn the oldest single times into spans, joined to those before them that are near."""
        if self.firsts is _NO_SPANS:
            self.firsts = []
        firsts, begin = self.firsts, max(0, len(self.firsts) - 1)
        end = len(firsts) + entries
        lasts, counts = self.lasts[begin : len(firsts)], self.counts[begin : len(firsts)]
        # What the newest of them may be joined with, the others may be.
        span = resolution.span_ms(now - self.lasts[end - 1])
        for index in range(len(firsts), end):
            last = self.lasts[index]
            if firsts and last - firsts[-1] <= span:
                lasts[-1] = last
                counts[-1] += self.counts[index]
            else:
                firsts.append(last)
                lasts.append(last)
                counts.append(self.counts[index])
        self.lasts[begin:end] = lasts
        self.counts[begin:end] = counts
        self._merge_spans_if_many(now, resolution)

    def _merge_spans_if_many(self, now: int, resolution: Resolution) -> None:
        """Join neighbours that have aged into a window that needs them less finely."""
        old = len(self.firsts)
        if old <= resolution.most_spans:
            return
        firsts, lasts, counts = self.firsts[:1], self.lasts[:1], self.counts[:1]
        for index in range(1, old):
            last = self.lasts[index]
            if last - firsts[-1] <= resolution.span_ms(now - last):
                lasts[-1] = last
                counts[-1] += self.counts[index]
            else:
                firsts.append(self.firsts[index])
                lasts.append(last)
                counts.append(self.counts[index])
        self.firsts = firsts
        self.lasts[:old] = lasts
        self.counts[:old] = counts


_NO_SPANS: list[int] = []
_NEVER = 1 << 63
