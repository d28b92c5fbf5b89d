"""What was certainly wrong with a history of decisions (pure).

A decision was made somewhere between its question and its answer. Whatever could have been right
at some moment in between is not held against anybody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_SLACK_S = 0.005
"""Clocks are read at slightly different moments and cut to milliseconds."""


@dataclass(frozen=True, slots=True)
class Decided:
    """One access of one subject, its times in seconds."""

    asked: float
    answered: float
    admitted: bool


def most_in_a_window(history: Sequence[Decided], window_s: float) -> int:
    """The largest number of accesses that were certainly admitted within one window."""
    admitted = sorted((d for d in history if d.admitted), key=lambda d: d.asked)
    most = 0
    for number, first in enumerate(admitted):
        end = first.asked + window_s - _SLACK_S
        most = max(most, sum(d.answered <= end for d in admitted[number:] if d.asked <= end))
    return most


def wrong_denials(history: Sequence[Decided], window_s: float, limit: int) -> int:
    """How many accesses were denied though fewer than `limit` can have counted then."""
    admitted = [d for d in history if d.admitted]
    wrong = 0
    for denied in history:
        if not denied.admitted:
            since = denied.asked - window_s - _SLACK_S
            may_count = sum(d.answered >= since and d.asked <= denied.answered for d in admitted)
            wrong += may_count < limit
    return wrong
