"""By how much this machine's clock may be off, as far as a discovery driver knows.

Some platforms measure that (ECS on Fargate does) and their drivers hand it on in an attribute that
is no part of the protocol's methods: most platforms know nothing, and most drivers lack it.

The counters do not use wall clocks but for one thing: when no instance was alive, the next one to
start can tell only by its own how long that lasted (see `counters/clock.py`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from formal_cluster.background import background
from formal_cluster.protocols import Discovery

_log = logging.getLogger(__name__)
_READ_EVERY_S = 1.0


def clock_error_bound_ms(driver: Discovery) -> float | None:
    """The driver's bound; None if it has none, or no such attribute."""
    bound: float | None = getattr(driver, "clock_error_bound_ms", None)
    return bound


def warning_about(bound_ms: float | None, tolerated_ms: float) -> str | None:
    """What a bound means for the counters; None if it means nothing to them."""
    if bound_ms is None or bound_ms <= tolerated_ms:
        return None
    return (
        f"this machine's clock may be off by {bound_ms:g} ms, which is more than {tolerated_ms:g} "
        "ms: counters that outlive a time without any instance may be off by as much. Mend the "
        "machine's time synchronization (chrony, or the platform's time service)"
    )


class ClockBound:
    """The bound as last read, for whoever asks, from any thread; a driver belongs to the loop's.

    Attributes:
        bound_ms: By how many milliseconds the clock may be off; None if nobody knows.
        warning: What is wrong with that and the mend; None if nothing is.
    """

    def __init__(self, discovery: Discovery, *, tolerated_ms: float) -> None:
        self._discovery = discovery
        self._tolerated_ms = tolerated_ms
        self.bound_ms: float | None = None
        self.warning: str | None = None

    def read(self) -> None:
        """Read it once; log when it becomes too large and when that is over."""
        was_too_large = self.warning is not None
        self.bound_ms = clock_error_bound_ms(self._discovery)
        self.warning = warning_about(self.bound_ms, self._tolerated_ms)
        if self.warning is not None and not was_too_large:
            _log.warning("the clock may be wrong", extra={"reason": self.warning})
        elif self.warning is None and was_too_large:
            _log.info("the clock is right again", extra={"bound_ms": self.bound_ms})

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """Read it at once, then about once a second while the context lasts."""
        self.read()
        async with background(self._keep_reading(), name="clock error bound"):
            yield

    async def _keep_reading(self) -> None:
        while True:
            await asyncio.sleep(_READ_EVERY_S)
            self.read()
