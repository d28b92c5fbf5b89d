"""A service starts from nothing."""

from __future__ import annotations

import asyncio
import functools

from formal_cluster_failover.run import Run, odd
from formal_cluster_failover.scenario import Scenarios

SCENARIOS = Scenarios()
_SIZES = (1, 2, 3, 5, 7)
_APART_S = 2.0


async def _start(run: Run, size: int, apart_s: float) -> None:
    cap = max(3, odd(size)) if not apart_s else 3
    run.service.store += f"voters = {cap}\n"
    voters = min(odd(size), cap)
    async with run.timed("all are clustered, and have their place"):
        for number in range(size):
            if number:
                await asyncio.sleep(apart_s)
            run.service.launch()
        await run.until_members(
            run.service.instances, voters=voters, learners=int(size == 2), within_s=120
        )
    await run.record(run.service.instances)


for _size in _SIZES:
    SCENARIOS.add(f"cold-start-{_size}", f"cold start of {_size} at once")(
        functools.partial(_start, size=_size, apart_s=0.0)
    )
for _size in _SIZES[1:]:
    SCENARIOS.add(f"cold-start-{_size}-staggered", f"cold start of {_size}, one every 2 s")(
        functools.partial(_start, size=_size, apart_s=_APART_S)
    )
