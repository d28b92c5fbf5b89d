"""When enough hits will have left a window. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from formal_cluster.counters.windows import HitsData


def leaving_ms(held: Iterable[tuple[HitsData, int]], length: int, most: int) -> int | None:
    """Milliseconds until at most `most` hits are in a window, if no further ones come.

    None if that is never so.

    Args:
        held: Hits that are in the window, and the present time on the clock that they are dated by.
        length: The window's.
    """
    if most < 0:
        return None
    ages = sorted(
        (
            (now - last, count)
            for data, now in held
            for last, count in zip(data.lasts, data.counts, strict=True)
        ),
        reverse=True,
    )
    surplus = sum(count for _, count in ages) - most
    wait = 0
    for age, count in ages:
        if surplus <= 0:
            break
        wait = length - age
        surplus -= count
    return max(0, wait)
