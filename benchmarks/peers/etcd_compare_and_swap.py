"""Every subject a key in etcd that holds its accesses, changed by compare-and-swap.

What one would write first on etcd: exact, and two round trips and a commit for each access. The
keys carry no leases, which would cost more still; so they stay for ever.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aetcd
import msgspec

from benchmarks.contestant import Limiter, Place


@asynccontextmanager
async def per_key(place: Place) -> AsyncIterator[Limiter]:
    """A sliding log for each key, on the instances' own clocks."""
    window_ms = place.window_s * 1_000
    own_turn: defaultdict[bytes, asyncio.Lock] = defaultdict(asyncio.Lock)
    decode = msgspec.msgpack.Decoder(list[int]).decode

    async with aetcd.Client("127.0.0.1", place.etcd_port) as client:
        compare = client.transactions

        async def admit(subject: str, limit: int) -> bool:
            key = f"/{place.space}/{limit}/{subject}".encode()
            async with own_turn[key]:  # the callers of one instance need not swap with each other
                return await swapped(key, limit)

        async def swapped(key: bytes, limit: int) -> bool:
            while True:
                found = await client.get(key)
                now = time.time_ns() // 1_000_000
                accesses = [] if found is None else decode(found.value)
                accesses = [at for at in accesses if at > now - window_ms]
                if len(accesses) >= limit:
                    return False
                value = msgspec.msgpack.encode([*accesses, now])
                revision = 0 if found is None else found.mod_revision
                succeeded, _ = await client.transaction(
                    compare=[compare.mod(key) == revision],
                    success=[compare.put(key, value)],
                    failure=[],
                )
                if succeeded:
                    return True

        yield Limiter(later=admit)
