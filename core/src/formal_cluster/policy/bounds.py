"""How far a count may be from the truth. Pure."""

from __future__ import annotations

MOST = (1 << 53) - 1
"""An upper bound when none is known: the largest number that every JSON reader takes exactly. A
policy that compares it with a limit blocks."""


def upper_bound(value: int, thresholds: tuple[int, ...] | None, unseen: int | None) -> int:
    """The largest that a count may truly be, the present attempt included.

    Every instance that has not been heard of may have permitted as many accesses as a policy with
    the same thresholds lets it.

    Args:
        value: What is known of, the present attempt included.
        thresholds: Of all policies; None or empty if they set no limit that is known.
        unseen: How many instances may have counted what is not known here; None if that is not
            known either.
    """
    if unseen == 0:
        return value
    if not thresholds or unseen is None:
        return MOST
    return value + unseen * max(0, thresholds[-1] + 1 - value)
