"""Strict counters through a fault: what was admitted is counted, and never more than the limit."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Final

from formal_cluster.errors import CountersUnavailable
from formal_cluster.protocols import Counters
from formal_cluster_conformance.bed import Bed, eventually, expect, holds
from formal_cluster_conformance.counters.instances import (
    admitted,
    agree,
    caught_up,
    instances,
    read,
)
from formal_cluster_conformance.declaration import Fault
from formal_cluster_conformance.failover.faults import injected

_LIMIT: Final = 5
_CLIENTS: Final = 9
_DEADLINE_S: Final = 0.5
_HITS_PER_SUBJECT: Final = 20


async def count_through(bed: Bed, fault: Fault) -> None:
    """New subjects all the while, each hit from all sides; then everything is counted.

    Raises:
        Violation: More than the limit was admitted, or an admitted hit is not counted.
    """
    dice = random.Random(f"{bed.seed} counted {fault}")
    admissions: Counter[str] = Counter()
    undecided, during, tried, running, faulty = 0, 0, 0, True, False

    async def hit(counters: Counters) -> None:
        nonlocal undecided, during, tried
        while running:
            tried += 1
            user = f"user-{tried // _HITS_PER_SUBJECT - dice.randrange(3)}"
            during += faulty
            try:
                answer = await admitted(counters, read(user), _LIMIT, deadline_s=_DEADLINE_S)
                admissions[user] += answer
            except CountersUnavailable:
                undecided += 1
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.002)

    async with instances(bed) as group:
        counters = await group.three()
        await bed.site.backing.settled()
        async with asyncio.TaskGroup() as tasks:
            for at in range(_CLIENTS):
                tasks.create_task(hit(counters[at % len(counters)]))
            try:
                for _ in range(bed.size(1, 3)):
                    await asyncio.sleep(0.3)
                    async with injected(bed.site, fault, dice):
                        faulty = True
                        await asyncio.sleep(1.5)
                        faulty = False
                    await asyncio.sleep(0.5)
                    for each in counters:
                        await _recovered(each, bed)
            finally:
                running = False
        for user, count in admissions.items():
            holds(count <= _LIMIT, f"{count} hits of {user} were admitted, the limit is {_LIMIT}")
        for user in admissions:
            await agree(counters, read(user), admissions[user])
        rest = [user for user, count in admissions.items() if count < _LIMIT][:5]
        for user in rest:
            answers = [await admitted(counters[n % 3], read(user), _LIMIT) for n in range(8)]
            expect(_LIMIT, admissions[user] + sum(answers), f"hits of {user} admitted in all")
    bed.evidence.operations += sum(admissions.values()) + undecided
    bed.evidence.unknown += undecided
    bed.evidence.faults[str(fault)] = during
    bed.evidence.demand(f"hits that were tried during the fault {fault}", during, _CLIENTS)
    bed.evidence.demand("subjects", len(admissions), 5)


async def _recovered(counters: Counters, bed: Bed) -> None:
    await caught_up(counters)

    async def decided() -> bool:
        try:
            await counters.attempt_strict(read("probe"), deadline_s=_DEADLINE_S)
        except CountersUnavailable:
            return False
        return True

    now = asyncio.get_running_loop().time
    begun = now()
    while not await decided():
        holds(
            now() - begun < bed.declaration.recovery_s,
            f"strict hits are not decided {bed.declaration.recovery_s:g} s after the fault",
        )
        await asyncio.sleep(0.05)
    await eventually(lambda: counters.status().caught_up, "the counters are caught up")
