"""Whether this instance's wall clock agrees with the others', and what follows if not. Pure.

Wall clocks decide nothing while anybody who knows log time is there (`clock`). But the next outage
may leave them as the only witnesses, and a clock that is off often has a broken rate as well. So an
instance that is off is told so, corrects nobody's time, and answers questions for it last.
"""

from __future__ import annotations

from typing import Final

from formal_cluster.counters.witnesses import Spread

_LOOKS: Final = 3
"""Looks in a row that must agree before a conclusion."""
_QUORUM: Final = 3
"""Clocks that it takes to tell which one is wrong."""


class Fence:
    """Concludes from several looks at the clocks.

    Attributes:
        off_ms: How far this instance's clock was off at the last look; 0 if it was not.
        fenced: Whether this instance is not to be relied on for the time.
        warning: What is wrong, with the mend; None if nothing is.
    """

    def __init__(self, bound_ms: int) -> None:
        self._bound_ms = bound_ms
        self._fence_looks = 0
        self._doubt_looks = 0
        self.off_ms = 0
        self.fenced = False
        self.warning: str | None = None

    def look(self, spread: Spread) -> bool:
        """Take one more look; whether the conclusion is another now."""
        self.off_ms = spread.off
        off = spread.clocks >= _QUORUM and abs(spread.off) > self._bound_ms
        doubtful = not off and spread.undecided > self._bound_ms
        self._fence_looks = _count(self._fence_looks, this=off)
        self._doubt_looks = _count(self._doubt_looks, this=doubtful)
        before = (self.fenced, self.warning is None)
        self.fenced = _concluded(self._fence_looks, before=self.fenced)
        if self.fenced:
            self.warning = (
                f"this instance's clock is {abs(spread.off)} ms "
                f"{'ahead of' if spread.off > 0 else 'behind'} the others' (counters.log."
                f"clock_bound_ms: {self._bound_ms}), so it is asked for the time last; counts are "
                "not affected. Mend its clock synchronisation (chrony, NTP, the host)"
            )
        elif _concluded(self._doubt_looks, before=self.warning is not None):
            self.warning = (
                f"the instances' clocks differ by {spread.undecided} ms (counters.log."
                f"clock_bound_ms: {self._bound_ms}) and there are too few to tell which are wrong; "
                "counts are not affected. Check clock synchronisation on all of them"
            )
        else:
            self.warning = None
        return before != (self.fenced, self.warning is None)


def _count(looks: int, *, this: bool) -> int:
    """Looks in a row with the same answer: positive for yes, negative for no."""
    return max(looks, 0) + 1 if this else min(looks, 0) - 1


def _concluded(looks: int, *, before: bool) -> bool:
    return before if abs(looks) < _LOOKS else looks > 0
