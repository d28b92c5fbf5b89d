"""The honest rival to `eventual`: count in a dict, meet in Redis every 50 ms.

The design of Kong's rate limiting with a `sync_rate`, with its sliding windows: a subject has one
counter in Redis for each window of the clock, and the window before counts in proportion to how
much of it the sliding window still covers. Each instance decides on the total it last heard plus
what it has added since. A sync is one pipeline: INCRBY of every counter changed here, whose
answers are the new totals, and GET of those that are only read here.

Better than the original where that is cheap: a failed sync keeps its increments for the next, and
Redis is asked about a new subject in the background, without blocking its first access.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import redis.asyncio

from benchmarks.contestant import Limiter, Place

SYNC_EVERY_S = 0.05
_COUNTERS_AT_A_TIME = 1_000


@dataclass(slots=True, eq=False)
class _Counter:
    """A subject in one window of the clock.

    Attributes:
        window: The window's number.
        before: The total of the window before.
        known: The total that Redis last told.
        added: What this instance has added since then.
        listed: Whether it is on the list for the next sync.
        asked: Whether Redis has told the total of the window before.
    """

    subject: str
    window: int
    before: int = 0
    known: int = 0
    added: int = 0
    listed: bool = False
    asked: bool = False


class LocalWithSync:
    """One instance's counters."""

    def __init__(self, client: redis.asyncio.Redis, *, space: str, window_s: int) -> None:
        self._client = client
        self._space = space
        self._window_s = window_s
        self._window = 0
        self._counters: dict[str, _Counter] = {}
        self._earlier: dict[str, _Counter] = {}
        self._listed: list[_Counter] = []
        self._syncing = False

    def admit(self, subject: str, limit: int) -> bool:
        """Decide in memory, and count the access if it is admitted."""
        part = self._turn_to(time.time())
        counter = self._counters.get(subject)
        if counter is None:
            counter = self._new(subject)
        if counter.before * (1 - part) + counter.known + counter.added + 1 > limit:
            return False
        counter.added += 1
        if not counter.listed:
            self._list(counter)
        return True

    def count(self, subject: str) -> int:
        """What this instance knows; reading makes it learn."""
        part = self._turn_to(time.time())
        counter = self._counters.get(subject) or self._new(subject)
        if not counter.listed:
            self._list(counter)
        return int(counter.before * (1 - part)) + counter.known + counter.added

    async def sync_forever(self) -> None:
        """Meet the others in Redis every 50 ms, or as often as a sync takes."""
        while True:
            begun = time.monotonic()
            # If Redis is away, what was added waits for the next sync.
            with suppress(redis.RedisError, OSError):
                await self._sync()
            await asyncio.sleep(max(0.0, SYNC_EVERY_S - (time.monotonic() - begun)))

    async def settled(self) -> None:
        """Wait until Redis has everything."""
        while self._listed or self._syncing:  # noqa: ASYNC110  as often as a sync
            await asyncio.sleep(SYNC_EVERY_S / 10)

    async def _sync(self) -> None:
        listed, self._listed = self._listed, []
        for counter in listed:
            counter.listed = False
        done = 0
        self._syncing = True
        try:
            while done < len(listed):
                await self._exchange(listed[done : done + _COUNTERS_AT_A_TIME])
                done += _COUNTERS_AT_A_TIME
        finally:
            self._syncing = False
            # Increments that Redis had taken without saying so are sent again: too much rather
            # than too little.
            for counter in listed[done:]:
                if not counter.listed:
                    self._list(counter)

    async def _exchange(self, counters: list[_Counter]) -> None:
        pipeline = self._client.pipeline(transaction=False)
        sent = []
        for counter in counters:
            key = f"{self._space}:{counter.subject}"
            begins = not counter.known
            sent.append((counter.added, begins))
            if not counter.asked:
                pipeline.get(f"{key}:{counter.window - 1}")
            if counter.added:
                pipeline.incrby(f"{key}:{counter.window}", counter.added)
                if begins:
                    pipeline.expire(f"{key}:{counter.window}", 2 * self._window_s)
            else:
                pipeline.get(f"{key}:{counter.window}")
        answers = iter(await pipeline.execute())
        for counter, (added, begins) in zip(counters, sent, strict=True):
            if not counter.asked:
                counter.before, counter.asked = int(next(answers) or 0), True
            counter.known = int(next(answers) or 0)
            counter.added -= added
            if added and begins:
                next(answers)

    def _turn_to(self, now: float) -> float:
        """Make the window of this moment the present one; returns how much of it is over."""
        window, over = divmod(now, self._window_s)
        if window != self._window:
            self._earlier = self._counters if window == self._window + 1 else {}
            self._window, self._counters = int(window), {}
        return over / self._window_s

    def _new(self, subject: str) -> _Counter:
        counter = self._counters[subject] = _Counter(subject, self._window)
        earlier = self._earlier.get(subject)
        if earlier is not None:
            counter.before = earlier.known + earlier.added
        self._list(counter)
        return counter

    def _list(self, counter: _Counter) -> None:
        counter.listed = True
        self._listed.append(counter)


@asynccontextmanager
async def local_with_sync(place: Place) -> AsyncIterator[Limiter]:
    """A running instance."""
    client = redis.asyncio.Redis(port=place.redis_port)
    local = LocalWithSync(client, space=place.space, window_s=place.window_s)
    syncing = asyncio.create_task(local.sync_forever())
    try:
        yield Limiter(now=local.admit, count=local.count, settled=local.settled)
    finally:
        syncing.cancel()
        await asyncio.gather(syncing, return_exceptions=True)
        await client.aclose()
