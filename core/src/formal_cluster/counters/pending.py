"""One subject's hits that the log does not hold yet."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Sequence

from formal_cluster.counters.windows import Hits, HitsData, Resolution
from formal_cluster.model import CounterKey

_ALWAYS = -(1 << 63)
MOST_TIMES = 64
"""Unsent hits that are kept as a plain list of times. Nearly all batches come before there are
more, and such a list is made and read in a third of the time that `Hits` take."""


class Pending:
    """A subject's hits by stage: being decided, waiting for a batch, in the batch under way.

    Times are of this instance's monotonic clock.

    Attributes:
        open: Attempts being decided. They count in every window.
        times: When permitted hits that wait for the next batch happened, ascending.
        backlog: Further such hits, from before.
        sent, sent_backlog: The same of those in the batch under way.
    """

    __slots__ = ("backlog", "key", "open", "sent", "sent_backlog", "times")

    def __init__(self, key: CounterKey) -> None:
        self.key = key
        self.open = 0
        self.times: list[int] = []
        self.backlog: Hits | None = None
        self.sent: Sequence[int] = ()
        self.sent_backlog: Hits | None = None

    def count(self, after: int) -> int:
        """The hits later than `after`, and `doubtful(after)` that may have been earlier."""
        count, times, sent = self.open, self.times, self.sent
        if times:
            count += len(times)
            if times[0] <= after:
                count -= bisect_right(times, after)
        if sent:
            count += len(sent)
            if sent[0] <= after:
                count -= bisect_right(sent, after)
        if self.backlog is not None:
            count += self.backlog.count(after)
        if self.sent_backlog is not None:
            count += self.sent_backlog.count(after)
        return count

    def doubtful(self, after: int) -> int:
        """How many of `count(after)` may have happened before."""
        backlogs = (self.backlog, self.sent_backlog)
        return sum(hits.doubtful(after) for hits in backlogs if hits is not None)

    def data(self, after: int) -> Iterable[HitsData]:
        """The hits later than `after`, but for those being decided."""
        for times in (self.times, self.sent):
            later = [at for at in times if at > after]
            yield HitsData([], later, [1] * len(later))
        for hits in (self.backlog, self.sent_backlog):
            if hits is not None:
                yield hits.data(after)

    @property
    def has_unsent(self) -> bool:
        """Whether hits wait for the next batch."""
        return bool(self.times) or self.backlog is not None

    @property
    def idle(self) -> bool:
        """Whether there is nothing in any stage."""
        return not (self.open or self.times or self.sent or self.backlog or self.sent_backlog)

    def add(self, at: int, resolution: Resolution, exact: int) -> None:
        """Have a hit wait for the next batch."""
        times = self.times
        if times and at < times[-1]:
            insort(times, at)
        else:
            times.append(at)
        if len(times) > MOST_TIMES:
            self.shelve(resolution, exact)

    def add_many(self, at: int, count: int, resolution: Resolution, exact: int) -> None:
        """Have several hits of one time wait for the next batch."""
        if self.backlog is None:
            self.backlog = Hits()
        self.backlog.add(at, count, at, resolution, exact)

    def send(self) -> list[tuple[int, int]]:
        """Put the unsent hits into the batch under way; their times and counts."""
        times = self.sent = self.times
        self.times = []
        runs = _runs(times) if len(times) > 1 else [(at, 1) for at in times]
        if self.backlog is None:
            return runs
        self.sent_backlog, self.backlog = self.backlog, None
        data = self.sent_backlog.data(after=_ALWAYS)
        return [*zip(data.lasts, data.counts, strict=True), *runs]

    def settle(self) -> int:
        """The batch under way is in the log; the number of hits that no longer count here."""
        settled = len(self.sent)
        self.sent = ()
        if self.sent_backlog is not None:
            settled += self.sent_backlog.total
            self.sent_backlog = None
        return settled

    def expire(self, until: int) -> int:
        """Drop unsent hits that happened at `until` or before; their number."""
        expired = bisect_right(self.times, until)
        del self.times[:expired]
        if self.backlog is not None:
            before = self.backlog.total
            self.backlog.expire(until)
            expired += before - self.backlog.total
            if self.backlog.total == 0:
                self.backlog = None
        return expired

    def shelve(self, resolution: Resolution, exact: int) -> None:
        """Keep what has become many hits in bounded space."""
        for at, count in _runs(self.times):
            self.add_many(at, count, resolution, exact)
        self.times = []


def _runs(times: Sequence[int]) -> list[tuple[int, int]]:
    """Each time and how often it occurs."""
    runs: list[tuple[int, int]] = []
    run, count = times[0], 0
    for at in times:
        if at != run:
            runs.append((run, count))
            run, count = at, 0
        count += 1
    runs.append((run, count))
    return runs
