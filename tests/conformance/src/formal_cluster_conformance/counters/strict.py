"""Rules: strict hits are admitted exactly up to the limit."""

from __future__ import annotations

import asyncio
from typing import Final

from formal_cluster.protocols import Counters
from formal_cluster_conformance.bed import Bed, eventually, expect, holds
from formal_cluster_conformance.counters.instances import (
    NEEDS,
    admissions,
    admitted,
    agree,
    instances,
    read,
    value,
)
from formal_cluster_conformance.rules import rule

_LIMIT: Final = 5
_HOT_S: Final = 5.0


@rule(
    "CO-STRICT-01",
    "Of many concurrent strict hits through one instance exactly the limit is admitted.",
    needs=NEEDS,
)
async def one_instance(bed: Bed) -> None:
    """Several limits."""
    async with instances(bed) as group:
        counters = await group.add("alone")
        for limit in (1, _LIMIT, 64):
            attempts = 4 * limit + bed.size(50, 300)
            count = await admissions([counters], read(f"user-{limit}"), limit, attempts)
            expect(limit, count, f"hits admitted of {attempts}")
            bed.evidence.operations += attempts


@rule(
    "CO-STRICT-02",
    "Of many concurrent strict hits through several instances exactly the limit "
    "is admitted in all.",
    needs=NEEDS,
)
async def several_instances(bed: Bed) -> None:
    """Round after round, each with a subject of its own."""
    async with instances(bed) as group:
        counters = await group.three()
        for round_ in range(bed.size(5, 40)):
            what, attempts = read(f"user-{round_}"), 90
            count = await admissions(counters, what, _LIMIT, attempts)
            expect(_LIMIT, count, f"hits admitted of {attempts}")
            bed.evidence.operations += attempts
        await agree(counters, what, _LIMIT)


@rule(
    "CO-SKEW-01",
    "Instances whose wall clocks are hours apart admit exactly the limit, and do "
    "not let each other's hits expire.",
    needs=NEEDS,
)
async def skewed(bed: Bed) -> None:
    """One is ahead, one behind; they come one after the other, into an old log and new ones."""
    what = read("alice", "last_minute")
    for round_ in range(bed.size(4, 12)):
        async with instances(bed, f"log-{round_}") as group:
            counters = await group.three(skews_s=(0, 7_200, -7_200))
            expect(_LIMIT, await admissions(counters, what, _LIMIT, 60), "hits admitted")
            for each in counters:
                expect(0, await admissions([each], what, _LIMIT, 10), "further hits admitted")
            late = await group.add("latecomer", skew_s=90_000)
            expect(0, await admissions([late], what, _LIMIT, 10), "hits that a newcomer admits")


@rule(
    "CO-RESTART-01",
    "After every counting instance was restarted no more hits are admitted than before.",
    needs=NEEDS,
)
async def restarted(bed: Bed) -> None:
    """The hits are in the store alone."""
    what = read("alice")
    for life in range(3):
        async with instances(bed) as group:
            counters = await group.three()
            count = await admissions(counters, what, _LIMIT, 30)
            expect(0 if life else _LIMIT, count, f"hits admitted in life {life}")
            await agree(counters, what, _LIMIT)


@rule(
    "CO-REFUND-01",
    "Hits that are denied are taken back: they count for nobody afterwards.",
    needs=NEEDS,
)
async def refunded(bed: Bed) -> None:
    """Hundreds of denied ones, and admitted ones that are cancelled."""
    async with instances(bed) as group:
        counters, what = await group.three(), read("alice")
        await admissions(counters, what, _LIMIT, bed.size(150, 600))
        await agree(counters, what, _LIMIT)
        attempt = await counters[0].attempt_strict(read("bob"), deadline_s=10)
        attempt.cancel()
        await agree(counters, read("bob"), 0)


@rule(
    "CO-SUBJECTS-01",
    "Thousands of subjects are counted apart, and every instance knows all of them.",
    needs=NEEDS,
    deadline_s=120,
)
async def many_subjects(bed: Bed) -> None:
    """Each subject has its own number of hits."""
    async with instances(bed) as group:
        counters = await group.three()
        total = bed.size(2_000, 10_000)
        for number in range(total):
            for _ in range(1 + number % 3):
                counters[number % 3].attempt(read(f"user-{number}")).commit()
            if number % 100 == 99:
                await asyncio.sleep(0)
        expected = [1 + number % 3 for number in range(total)]

        def counts(each: Counters) -> list[int]:
            return [value(each, read(f"user-{number}")) for number in range(total)]

        for at, each in enumerate(counters):
            await eventually(
                lambda each=each: counts(each) == expected,  # type: ignore[misc]
                f"instance {at} counts every one of {total} subjects right",
                30,
            )
        bed.evidence.operations += total


@rule("CO-FAIR-01", "One hot subject does not keep the others from being decided.", needs=NEEDS)
async def fair(bed: Bed) -> None:
    """Hundreds of hits on one subject wait all the while."""
    async with instances(bed) as group:
        counters = await group.three()
        running, hot = True, 0

        async def hammer(at: int) -> None:
            nonlocal hot
            while running:
                await admitted(counters[at % 3], read("hot"), _LIMIT)
                hot += 1

        hammers = [asyncio.ensure_future(hammer(at)) for at in range(bed.size(60, 200))]
        longest = 0.0
        now = asyncio.get_running_loop().time
        try:
            for number in range(bed.size(20, 100)):
                begun = now()
                answer = await admitted(counters[number % 3], read(f"cold-{number}"), _LIMIT)
                holds(answer, "the first hit of a subject is denied")
                longest = max(longest, now() - begun)
        finally:
            running = False
            await asyncio.gather(*hammers, return_exceptions=True)
        bed.evidence.operations += hot
        bed.evidence.demand("hits on the hot subject meanwhile", hot, 100)
        holds(longest < _HOT_S, f"a hit beside a hot subject took {longest:.1f} s")
