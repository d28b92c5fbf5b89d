"""How long to wait before the next try: doubling, capped, jittered."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator


def delays(
    first_s: float, cap_s: float, *, uniform: Callable[[float, float], float] = random.uniform
) -> Iterator[float]:
    """Endless waits in seconds, each between a half and all of a ceiling that doubles to `cap_s`.

    Args:
        uniform: Draws a number between its two arguments.
    """
    ceiling = min(first_s, cap_s)
    while True:
        yield uniform(ceiling / 2, ceiling)
        ceiling = min(ceiling * 2, cap_s)
