"""Rule: hits taken out of blocks that the log has already promise what strict ones do."""

from __future__ import annotations

import asyncio
from typing import Final

from formal_cluster.errors import CountersUnavailable
from formal_cluster.protocols import ReservingCounters
from formal_cluster_conformance.bed import Bed, holds
from formal_cluster_conformance.counters.instances import (
    NEEDS,
    admitted_reserved,
    at_least,
    instances,
    read,
)
from formal_cluster_conformance.declaration import NotPossible
from formal_cluster_conformance.results import Violation
from formal_cluster_conformance.rules import rule

_LIMIT: Final = 20


@rule(
    "CO-RESERVED-01",
    "Of many concurrent hits by reserved blocks, through several instances, never more than the "
    "limit is admitted, and every one that is admitted is counted.",
    needs=NEEDS,
)
async def reserved(bed: Bed) -> None:
    """Round after round, each with a subject of its own."""
    async with instances(bed) as group:
        counters = await group.three()
        if not isinstance(counters[0], ReservingCounters):
            raise NotPossible("these counters cannot reserve")
        total = 0
        for round_ in range(bed.size(4, 20)):
            user = f"user-{round_}"
            try:
                answers = await asyncio.gather(
                    *(
                        admitted_reserved(counters[at % len(counters)], read(user), _LIMIT)
                        for at in range(120)
                    )
                )
            except CountersUnavailable as error:
                raise Violation(f"a reserved hit was not decided in time: {error}") from error
            admitted = sum(answers)
            holds(admitted <= _LIMIT, f"{admitted} hits were admitted, the limit is {_LIMIT}")
            # Each of them counts now or soon; what is reserved and not spent may count, too.
            await at_least(counters, read(user), admitted)
            total += admitted
        bed.evidence.operations += 120 * (round_ + 1)
        bed.evidence.demand("hits admitted", total, _LIMIT)
