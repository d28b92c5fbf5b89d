"""Everybody who takes part. A new contestant is a line here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from limits import strategies

from benchmarks import ours_limiter
from benchmarks.bare_loop import bare_loop
from benchmarks.bench import Effort
from benchmarks.contestant import Contestant, Limiter, Place, Store
from benchmarks.peers import etcd_compare_and_swap, libraries, redis_commands
from benchmarks.peers.local_with_sync import local_with_sync

CALLERS = 64


@asynccontextmanager
async def _bare_loop(place: Place) -> AsyncIterator[Limiter]:
    key = b"/bench/bare/%d" % place.instance
    async with bare_loop("127.0.0.1", place.etcd_port, key=key) as loop:

        async def carry(_subject: str, limit: int) -> bool:
            await loop.hit(limit)
            return True

        yield Limiter(later=carry)


_FIXED = strategies.FixedWindowRateLimiter
_MOVING = strategies.MovingWindowRateLimiter
_SLIDING = strategies.SlidingWindowCounterRateLimiter

EVENTUAL = "ours, eventual"
HIT = "ours, eventual, hit()"
DECIDE = "ours, eventual, with a policy"
STRICT = "ours, strict"
STRICT_HIT = "ours, strict, hit only"
RIVAL = "local dict, 50 ms sync"
MOVING = "limits, moving"
CAS = "etcd CAS per key"
LUA = "redis.asyncio, Lua"
BARE = "bare loop"

CONTESTANTS: tuple[Contestant, ...] = (
    Contestant(EVENTUAL, "sliding log", Store.ETCD, ours_limiter.eventual, local=True),
    Contestant(HIT, "sliding log", Store.ETCD, ours_limiter.counting, local=True, limits=False),
    Contestant(DECIDE, "sliding log", Store.ETCD, ours_limiter.decide, local=True),
    Contestant(RIVAL, "two-bucket sliding", Store.REDIS, local_with_sync, local=True),
    Contestant("redis-py, INCR+EXPIRE", "fixed window", Store.REDIS, redis_commands.pipeline),
    Contestant("limits, fixed", "fixed window", Store.REDIS, libraries.limits_with(_FIXED)),
    Contestant(MOVING, "sliding log", Store.REDIS, libraries.limits_with(_MOVING)),
    Contestant(
        "limits, sliding counter",
        "two-bucket sliding",
        Store.REDIS,
        libraries.limits_with(_SLIDING),
    ),
    Contestant("pyrate-limiter", "sliding log", Store.REDIS, libraries.pyrate),
    Contestant("throttled-py, GCRA", "leaky bucket", Store.REDIS, libraries.throttled),
    Contestant(LUA, "fixed window", Store.REDIS, redis_commands.script, callers=CALLERS),
    Contestant(STRICT, "sliding log", Store.ETCD, ours_limiter.strict, callers=CALLERS),
    Contestant(
        STRICT_HIT,
        "sliding log",
        Store.ETCD,
        ours_limiter.strict_hit,
        callers=CALLERS,
        limits=False,
    ),
    Contestant(CAS, "sliding log", Store.ETCD, etcd_compare_and_swap.per_key, callers=CALLERS),
    Contestant(BARE, "counts nothing", Store.ETCD, _bare_loop, callers=CALLERS, limits=False),
    Contestant(
        "limits, fixed, in memory",
        "fixed window",
        Store.NONE,
        libraries.limits_with(_FIXED, in_memory=True),
    ),
    Contestant(
        "limits, moving, in memory",
        "sliding log",
        Store.NONE,
        libraries.limits_with(_MOVING, in_memory=True),
    ),
    Contestant(
        "limits, sliding counter, in memory",
        "two-bucket sliding",
        Store.NONE,
        libraries.limits_with(_SLIDING, in_memory=True),
    ),
)

FEW = frozenset({EVENTUAL, STRICT, RIVAL, MOVING})
"""One of each kind: what a quick run measures where all would take too long."""


def by_name(name: str) -> Contestant:
    """The contestant of that name.

    Raises:
        KeyError: There is none.
    """
    return {contestant.name: contestant for contestant in CONTESTANTS}[name]


def chosen(effort: Effort, *, shared: bool = False, few: bool = False) -> list[Contestant]:
    """Those that this run measures.

    Args:
        shared: Only those that limit, and whose instances share their counts.
        few: In a quick run, only one of each kind.
    """
    everybody = frozenset(contestant.name for contestant in CONTESTANTS)
    names = effort.only or (FEW if few and effort.quick else everybody)
    return [
        contestant
        for contestant in CONTESTANTS
        if contestant.name in names
        and not (shared and (contestant.store is Store.NONE or not contestant.limits))
    ]
