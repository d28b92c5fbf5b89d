"""How far a member's raft log reaches. Compared as raft compares logs: the term first."""

from __future__ import annotations

from typing import NamedTuple


class LogPosition(NamedTuple):
    """The last entry of a log: the term it was written in, and its index."""

    term: int
    index: int  # type: ignore[assignment]  # hides `tuple.index`, which nobody needs here
