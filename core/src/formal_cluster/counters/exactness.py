"""How many of a subject's newest hits are kept one by one, by counter."""

from __future__ import annotations

from collections.abc import Mapping

MOST_EXACT = 1_024
"""Most that a policy's threshold has kept. Packed, a hit takes about three bytes; of a subject that
is busy, about sixty."""


class Exactness:
    """What the policies' thresholds ask for beyond the setting.

    Never less than the setting: hits that are taken back need entries for a while, so a counter
    with just one more than its threshold would be rounded when many are refused at once.

    Attributes:
        more: Counters that keep more. Changed in place, so that every state sees it.
    """

    def __init__(self, exact_entries: int) -> None:
        self._exact_entries = exact_entries
        self.more: dict[str, int] = {}

    def use(self, largest: Mapping[str, int]) -> None:
        """Keep one more than each counter's largest threshold."""
        self.more.clear()
        for counter, threshold in largest.items():
            if threshold >= self._exact_entries:
                self.more[counter] = max(self._exact_entries, min(threshold + 1, MOST_EXACT))
