"""Turns a driver's `discover()` into its `watch()`: for platforms that can only be asked.

    def watch(self) -> AsyncGenerator[View, None]:
        return poll(self.discover, source="consul", interval=lambda: 10.0, logger=self._logger)

Every instance of a service runs this loop against one platform, most of them started in the same
second. So each wait is jittered, and failing reads back off: a platform in trouble is not helped
by a hundred instances that ask in step.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from random import Random, SystemRandom

from formal_cluster.discovery.health_log import HealthLog
from formal_cluster.errors import DiscoveryUnavailable
from formal_cluster.model import View

_JITTER = 0.1


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait after failed reads, in seconds: `first`, then doubled up to `longest`."""

    first: float = 1.0
    longest: float = 30.0

    def after(self, failures: int) -> float:
        """The wait after this many failures in a row, at least one."""
        # The exponent is bounded because a float overflows long before an outage must end.
        return min(self.longest, self.first * 2.0 ** min(failures - 1, 64))


def jittered(seconds: float, rng: Random) -> float:
    """`seconds`, lengthened by up to a tenth. Never shortened: an interval is a promise."""
    return seconds * (1 + _JITTER * rng.random())


async def poll(
    discover: Callable[[], Awaitable[View]],
    *,
    source: str,
    interval: Callable[[], float],
    logger: logging.Logger,
    backoff: Backoff = Backoff(),
    rng: Random | None = None,
) -> AsyncGenerator[View, None]:
    """The first view at once, then each view that differs from the one before. Never ends.

    Args:
        discover: Reads a fresh view. After DiscoveryUnavailable it is tried again; any other
            error ends the generator.
        source: What is asked, for the log.
        interval: Seconds to the next read, asked after each successful one: a constant, or what
            the last answer was good for.
        rng: Source of the jitter.
    """
    rng = rng or SystemRandom()
    health = HealthLog(logger, source)
    failures = 0
    last: View | None = None
    while True:
        try:
            view = await discover()
        except DiscoveryUnavailable as error:
            failures += 1
            health.failed(str(error))
            await asyncio.sleep(jittered(backoff.after(failures), rng))
            continue
        failures = 0
        health.answered()
        if view != last:
            last = view
            yield view
        await asyncio.sleep(jittered(interval(), rng))
