"""After a store loss: what is from before it, and whose memory the log still lacks. Pure.

The log is then in a new *life*, begun by a record under the log's own name (`writer` ""), which
names the instances that may remember more than the store does. Each of them says in its first
record whether it does; if so it re-appends that (`reappend`) and then says that it is done. All
readers see this in log order, so they agree at which record nobody is awaited any more.
"""

from __future__ import annotations

from collections.abc import Iterable

from formal_cluster.counters.records import Memory

AWAITED_MS = 5_000
"""Log time after which an instance that shows no sign of life is awaited no longer. It should cover
what instances need to find the restored store."""
MARGIN_MS = 1_000
"""How far one instance's estimate of log time may lag behind what another has folded. Within it
from the beginning of a life, hits count as later than they are."""
LONGEST_LIFE_MS = MARGIN_MS // 2
"""How far ahead of log time a reserved hit may be dated: the other half of the margin is for lag.
"""

_NOT_YET = 1 << 62
"""A deadline that is set once the log's time is known again."""

UNSETTLED = (
    "the store lost a part of the counter log; strict decisions wait some seconds until the "
    "instances have put back what they remember"
)


class Restoration:
    """The newest restoration of a log, as folded from its records.

    Attributes:
        until: Log time up to which hits may be from before the loss; 0 if there never was one. All
            hits appended since count as later than this, so the two cannot be confused.
        awaited: The instances that may remember more than the log, and until which log time they
            are awaited.
    """

    __slots__ = ("awaited", "until")

    def __init__(self) -> None:
        self.until = 0
        self.awaited: dict[str, int] = {}

    def begin(self, awaited: Iterable[str], log_time: int) -> None:
        """A new life of the log begins."""
        self.awaited = dict.fromkeys(awaited, _NOT_YET)
        if self.awaited:
            self.until = log_time + MARGIN_MS

    def heard(self, writer: str, memory: Memory) -> None:
        """A writer has said in this life whether it remembers more than the log."""
        if memory.more:
            self.awaited[writer] = _NOT_YET
            self.until = max(self.until, memory.until)
        else:
            self.awaited.pop(writer, None)

    def pass_time(self, log_time: int, *, known: bool) -> None:
        """The log has come to `log_time`; `known` says whether its writer knew the time."""
        waiting = {}
        for writer, deadline in self.awaited.items():
            if deadline == _NOT_YET and known:
                waiting[writer] = log_time + AWAITED_MS
            elif deadline > log_time:
                waiting[writer] = deadline
        self.awaited = waiting

    def over(self, log_time: int) -> bool:
        """Whether at this log time nobody is awaited."""
        return all(deadline <= log_time for deadline in self.awaited.values())
