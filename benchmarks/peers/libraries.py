"""Rate limiting libraries for Python, through their public interfaces."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from functools import cache

import redis
from limits import RateLimitItemPerSecond, strategies
from limits.storage import MemoryStorage, RedisStorage
from pyrate_limiter import BucketFactory, Rate, RateItem, RedisBucket
from pyrate_limiter import Limiter as PyrateLimiter
from throttled import RateLimiterType, Throttled, rate_limiter, store

from benchmarks.contestant import Limiter, Place

Opener = Callable[[Place], AbstractAsyncContextManager[Limiter]]
Strategy = (
    type[strategies.FixedWindowRateLimiter]
    | type[strategies.MovingWindowRateLimiter]
    | type[strategies.SlidingWindowCounterRateLimiter]
)


def limits_with(strategy: Strategy, *, in_memory: bool = False) -> Opener:
    """`limits`, one of its strategies."""

    @asynccontextmanager
    async def opened(place: Place) -> AsyncIterator[Limiter]:
        if in_memory:
            limiter = strategy(MemoryStorage())
        else:
            limiter = strategy(RedisStorage(f"redis://127.0.0.1:{place.redis_port}"))
        space = place.space

        @cache
        def item(limit: int) -> RateLimitItemPerSecond:
            return RateLimitItemPerSecond(limit, place.window_s)

        yield Limiter(now=lambda subject, limit: limiter.hit(item(limit), space, subject))

    return opened


class _BucketsInRedis(BucketFactory):
    """A bucket for each subject and limit, as pyrate-limiter's documentation routes them."""

    def __init__(self, client: redis.Redis, place: Place) -> None:
        self._client = client
        self._place = place
        self._buckets: dict[str, RedisBucket] = {}

    def wrap_item(self, name: str, weight: int = 1) -> RateItem:
        return RateItem(name, time.time_ns() // 1_000_000, weight=weight)

    def get(self, item: RateItem) -> RedisBucket:
        bucket = self._buckets.get(item.name)
        if bucket is None:
            limit = int(item.name.partition("|")[0])
            rates = [Rate(limit, self._place.window_s * 1_000)]
            # Asks Redis to load its script, for every bucket anew.
            bucket = RedisBucket.init(rates, self._client, f"{self._place.space}:{item.name}")
            self.schedule_leak(bucket)
            self._buckets[item.name] = bucket
        return bucket


@asynccontextmanager
async def pyrate(place: Place) -> AsyncIterator[Limiter]:
    """pyrate-limiter's RedisBucket."""
    client = redis.Redis(port=place.redis_port)
    limiter = PyrateLimiter(_BucketsInRedis(client, place))

    def admit(subject: str, limit: int) -> bool:
        return bool(limiter.try_acquire(f"{limit}|{subject}", blocking=False))

    try:
        yield Limiter(now=admit)
    finally:
        limiter.close()
        client.close()


@asynccontextmanager
async def throttled(place: Place) -> AsyncIterator[Limiter]:
    """throttled-py, GCRA on Redis, with a burst of the whole limit."""
    backend = store.RedisStore(server=f"redis://127.0.0.1:{place.redis_port}/0")

    @cache
    def limiter(limit: int) -> Throttled:
        return Throttled(
            using=RateLimiterType.GCRA.value,
            quota=rate_limiter.per_duration(timedelta(seconds=place.window_s), limit, burst=limit),
            store=backend,
            key_prefix=place.space,
        )

    def admit(subject: str, limit: int) -> bool:
        return not limiter(limit).limit(subject).limited

    yield Limiter(now=admit)
