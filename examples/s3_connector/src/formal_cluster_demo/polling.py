"""Wait for something that will show, with a deadline instead of a fixed sleep."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def poll(
    probe: Callable[[], T], accept: Callable[[T], bool], *, within_s: float, every_s: float = 0.1
) -> T:
    """The first value of `probe` that `accept` takes, else the last one before the deadline."""
    deadline = time.monotonic() + within_s
    while True:
        value = probe()
        if accept(value) or time.monotonic() >= deadline:
            return value
        time.sleep(every_s)
