"""Redis without a library: the recipes that everybody knows, both fixed windows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import redis
import redis.asyncio

from benchmarks.contestant import Limiter, Place

_CONNECTIONS = 64  # more of them are slower
_INCR_AND_EXPIRE = """
local count = redis.call('INCR', KEYS[1])
if count == 1 then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
return count
"""


@asynccontextmanager
async def pipeline(place: Place) -> AsyncIterator[Limiter]:
    """INCR and EXPIRE of a key for each subject and window, in one pipeline."""
    client = redis.Redis(port=place.redis_port)
    window_s, space = place.window_s, place.space

    def admit(subject: str, limit: int) -> bool:
        commands = client.pipeline(transaction=False)
        key = f"{space}:{subject}:{int(time.time()) // window_s}"
        commands.incr(key)
        commands.expire(key, window_s)
        count: int = commands.execute()[0]
        return count <= limit

    try:
        yield Limiter(now=admit)
    finally:
        client.close()


@asynccontextmanager
async def script(place: Place) -> AsyncIterator[Limiter]:
    """The same as a Lua script through redis.asyncio; a window begins with its first access."""
    pool = redis.asyncio.BlockingConnectionPool(
        port=place.redis_port, max_connections=_CONNECTIONS, timeout=None
    )
    client = redis.asyncio.Redis.from_pool(pool)
    count_one = client.register_script(_INCR_AND_EXPIRE)
    window_s, space = place.window_s, place.space

    async def admit(subject: str, limit: int) -> bool:
        count: int = await count_one(keys=[f"{space}:{subject}"], args=[window_s])
        return count <= limit

    try:
        # So that no decision waits for a connection to be made.
        await asyncio.gather(*(client.ping() for _ in range(_CONNECTIONS)))
        yield Limiter(later=admit)
    finally:
        await client.aclose()
