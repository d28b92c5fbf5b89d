"""One subject's reserved hits: in the log before they happen, spent in memory. Pure.

A *block* is a number of hits that one record appended together; each of them is a *token* for one
access. The log's order gives a block the count before it, so the access that takes its k-th token
sees that count and k - 1 more: just what it would have seen as a strict hit at that place. Whoever
comes later in the log sees the whole block, spent or not.

An access happens later than its token was logged. So that a token does not leave a window before
its access does, it is dated ahead, and nobody spends it later than its date. Then, of all accesses
in any window, the one whose token is the last in the log has counted all the others: what it was
permitted by holds for the window. What nobody has spent by that date is taken back; until then it
can only make other counts larger.

Times are integer milliseconds, on this instance's monotonic clock or in log time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from formal_cluster.model import Count, CounterKey, CounterRead

_SPANS_PER_WINDOW = 60
_UNLIMITED = 1 << 31


class Block:
    """Tokens of one record.

    Attributes:
        before: For each window, the hits before it in the log.
        revision: Store revision of the record.
        size: Its hits in the log that have not been taken back.
        taken: Those of them that accesses have, decided ones or not.
        date: The log time that its hits count from, and up to which they may be spent.
        use_by: The same on the monotonic clock, from when the block was asked for.
        kept: How many tokens are worth keeping when nobody waits for them.
        closed: It is out of its purse: tokens that come back are taken back in the log.
        forgotten: The log may not hold it any more: nothing is to be taken back.
    """

    __slots__ = (
        "before",
        "closed",
        "date",
        "forgotten",
        "kept",
        "revision",
        "size",
        "taken",
        "use_by",
    )

    def __init__(
        self,
        before: Sequence[Count],
        *,
        size: int,
        kept: int,
        date: int,
        use_by: int,
        revision: int,
    ) -> None:
        self.before = before
        self.size = size
        self.kept = kept
        self.date = date
        self.use_by = use_by
        self.revision = revision
        self.taken = 0
        self.closed = False
        self.forgotten = False

    def take(self) -> list[Count]:
        """Take a token; the counts that its access sees."""
        ahead = self.taken
        self.taken += 1
        if not ahead:
            return list(self.before)
        return [Count(count.value + ahead, count.exact, count.doubtful) for count in self.before]

    def release(self) -> int:
        """Give up tokens that are not worth keeping; how many hits are to be taken back."""
        kept = self.taken if self.closed else max(self.taken, self.kept)
        given_up = max(0, self.size - kept)
        self.size -= given_up
        return 0 if self.forgotten else given_up


class Purse:
    """One subject's blocks, in log order.

    Attributes:
        read: What its tokens are for, as asked for last.
        asked: A further block is on its way.
    """

    __slots__ = ("_blocks", "_lately", "_period", "_period_began", "asked", "life", "read")

    def __init__(self, read: CounterRead, *, life: int) -> None:
        self.read = read
        self.life = life
        self.asked = False
        self._blocks: deque[Block] = deque()
        self._period_began = 0
        self._period = 0
        self._lately = 0

    @property
    def key(self) -> CounterKey:
        """Whose hits these are."""
        return self.read.key

    def add(self, block: Block) -> None:
        """A further block is in the log."""
        self._blocks.append(block)

    def find(self, log_now: int, now: int) -> Block | None:
        """The first block with a token that may be spent now."""
        for block in self._blocks:
            if block.taken < block.size and log_now <= block.date and now <= block.use_by:
                return block
        return None

    def note_demand(self, now: int) -> None:
        """An access wants a token, whether there is one or not."""
        self._turn_page(now)
        self._period += 1

    def demand(self, now: int) -> int:
        """How many accesses wanted a token within one to two lives before now."""
        self._turn_page(now)
        return self._period + self._lately

    def runs_low(self, log_now: int, now: int) -> bool:
        """Whether at most half of its tokens are left."""
        left = size = 0
        for block in self._blocks:
            if log_now <= block.date and now <= block.use_by:
                size += block.size
                left += block.size - block.taken
        return 2 * left <= size

    def next_expiry(self, now: int) -> int:
        """When to look again for something expired."""
        return self._blocks[0].use_by + 1 if self._blocks else now + self.life

    def close_expired(self, log_now: int, now: int) -> list[Block]:
        """Drop the blocks whose tokens may not be spent any more."""
        closed = [b for b in self._blocks if log_now > b.date or now > b.use_by]
        for block in closed:
            block.closed = True
            self._blocks.remove(block)
        return closed

    def close(self) -> list[Block]:
        """Drop all blocks."""
        closed = list(self._blocks)
        for block in closed:
            block.closed = True
        self._blocks.clear()
        return closed

    def idle(self, now: int) -> bool:
        """Whether it can be thrown away."""
        return not (self._blocks or self.asked or self.demand(now))

    def _turn_page(self, now: int) -> None:
        if now - self._period_began >= self.life:
            fresh = now - self._period_began < 2 * self.life
            self._lately = self._period if fresh else 0
            self._period = 0
            self._period_began = now


def life_ms(read: CounterRead, longest: int) -> int:
    """How long tokens of a read may be spent: short beside its windows, which it lengthens."""
    shortest = min((window.length_ms for window in read.windows), default=_UNLIMITED)
    return max(1, min(longest, shortest // _SPANS_PER_WINDOW))


def hits_left(read: CounterRead, counts: Sequence[Count]) -> int:
    """How many hits can be added before a policy may change its mind; 0 if that is not known."""
    left = _UNLIMITED
    thresholds = read.thresholds or (None,) * len(read.windows)
    for known, count in zip(thresholds, counts, strict=True):
        if known is None:
            return 0
        if known:
            left = min(
                left, next((t for t in known if t >= count.value), count.value) - count.value
            )
    return left


def block_size(*, waiting: int, demand: int, left: int, most: int, writers: int) -> int:
    """How many hits to reserve: for those who wait, and for whoever comes soon.

    Those who wait get their hits whatever is left, as strict ones would. Reserving ahead takes at
    most this instance's share of half of what is left. So blocks shrink towards a limit, and its
    last hits are decided like strict ones.

    Args:
        waiting: Accesses that wait for a token.
        demand: Accesses to expect during a block's life.
        left: See `hits_left`.
        most: Largest block that may be reserved ahead.
        writers: Instances that count lately, this one included.
    """
    return max(waiting, min(demand, most, left // (2 * max(1, writers))))
