"""One subject's hits that the log does not hold yet."""

from __future__ import annotations

from collections.abc import Iterable

from formal_cluster.counters.windows import Hits, Resolution
from formal_cluster.model import CounterKey

_ALWAYS = -(1 << 63)


class Pending:
    """A subject's hits by stage: being decided, waiting for a batch, in the batch under way.

    Times are of this instance's monotonic clock.

    Attributes:
        open: Attempts being decided. They count in every window.
        unsent: Permitted hits that wait for the next batch.
        sent: Permitted hits in the batch under way.
    """

    __slots__ = ("key", "open", "sent", "unsent")

    def __init__(self, key: CounterKey) -> None:
        self.key = key
        self.open = 0
        self.unsent: Hits | None = None
        self.sent: Hits | None = None

    def count(self, after: int) -> int:
        """The hits later than `after`; rounded up when `rounded(after)`."""
        count = self.open
        if self.unsent is not None:
            count += self.unsent.count(after)
        if self.sent is not None:
            count += self.sent.count(after)
        return count

    def rounded(self, after: int) -> bool:
        """Whether `count(after)` includes hits that may have happened before."""
        unsent, sent = self.unsent, self.sent
        return bool(
            (unsent is not None and unsent.firsts and unsent.rounded(after))
            or (sent is not None and sent.firsts and sent.rounded(after))
        )

    def doubtful(self, after: int) -> int:
        """How many of `count(after)` may have happened before."""
        return sum(hits.doubtful(after) for hits in (self.unsent, self.sent) if hits is not None)

    @property
    def idle(self) -> bool:
        """Whether there is nothing in any stage."""
        return self.open == 0 and self.unsent is None and self.sent is None

    def add(self, at: int, count: int, resolution: Resolution, exact: int) -> bool:
        """Have hits wait for the next batch; whether they are the first to do so."""
        first = self.unsent is None
        if self.unsent is None:
            self.unsent = Hits()
        self.unsent.add(at, count, at, resolution, exact)
        return first

    def send(self) -> Iterable[tuple[int, int]]:
        """Put the unsent hits into the batch under way; their times and counts."""
        assert self.unsent is not None
        self.sent, self.unsent = self.unsent, None
        data = self.sent.data(after=_ALWAYS)
        return zip(data.lasts, data.counts, strict=True)

    def settle(self) -> int:
        """The batch under way is in the log; the number of hits that no longer count here."""
        sent, self.sent = self.sent, None
        return sent.total if sent is not None else 0

    def expire(self, until: int) -> int:
        """Drop unsent hits that happened at `until` or before; their number."""
        if self.unsent is None:
            return 0
        before = self.unsent.total
        self.unsent.expire(until)
        left = self.unsent.total
        if left == 0:
            self.unsent = None
        return before - left
