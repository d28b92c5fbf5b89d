"""Rules: eventual hits are decided in memory, and overshoot no more than documented."""

from __future__ import annotations

import asyncio
from typing import Final

from formal_cluster_conformance.bed import Bed, eventually, expect, holds
from formal_cluster_conformance.counters.instances import NEEDS, agree, instances, read, value
from formal_cluster_conformance.rules import rule

_LIMIT: Final = 5


@rule(
    "CO-EVENTUAL-01",
    "Instances that decide at the same moment admit at worst the limit each; "
    "once they have heard of each other, none admits more.",
    needs=NEEDS,
)
async def bounded(bed: Bed) -> None:
    """A burst on all instances at once."""
    async with instances(bed) as group:
        counters = await group.three()
        for round_ in range(bed.size(5, 30)):
            what = read(f"user-{round_}")

            def burst() -> int:
                admitted = 0
                for each in counters * 20:
                    attempt = each.attempt(what)  # noqa: B023  called within the round
                    if attempt.counts[0][0].value < _LIMIT:
                        attempt.commit()
                        admitted += 1
                    else:
                        attempt.cancel()
                return admitted

            first = burst()
            holds(
                _LIMIT <= first <= _LIMIT * len(counters),
                f"a burst on {len(counters)} instances admitted {first} hits, limit {_LIMIT}",
            )
            await agree(counters, what, first)
            expect(0, burst(), "hits admitted when all have heard of each other")
            bed.evidence.operations += 120


@rule(
    "CO-EVENTUAL-02",
    "Every eventual hit that was committed is counted once on every instance, "
    "and none that was cancelled.",
    needs=NEEDS,
)
async def counted_once(bed: Bed) -> None:
    """Instances come and go meanwhile."""
    async with instances(bed) as group:
        counters, what = await group.three(), read("alice")
        committed, total = 0, bed.size(300, 3_000)
        for number in range(total):
            attempt = counters[number % 3].attempt(what)
            if number % 10 == 9:
                attempt.cancel()
            else:
                attempt.commit()
                committed += 1
            if number == total // 2:
                late = await group.add("latecomer")
            if number % 20 == 0:
                await asyncio.sleep(0.001)
        await agree([*counters, late], what, committed)
        await eventually(
            lambda: all(each.status().pending == 0 for each in counters), "hits are written"
        )
        await counters[0].stop()
        again = await group.add("instance-0")
        expect(committed, value(again, what), "the hits that a restarted instance counts")
        bed.evidence.operations += total
