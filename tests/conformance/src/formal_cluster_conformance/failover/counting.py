"""Counts in every grade through a fault, once for the rules that each look at one grade."""

from __future__ import annotations

import asyncio
import enum
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from formal_cluster.errors import CountersUnavailable
from formal_cluster.protocols import Counters, ReservingCounters
from formal_cluster_conformance.bed import Bed, eventually, expect, holds
from formal_cluster_conformance.counters.instances import (
    admissions,
    admitted,
    admitted_reserved,
    agree,
    at_least,
    caught_up,
    instances,
    read,
)
from formal_cluster_conformance.declaration import Fault, NotPossible
from formal_cluster_conformance.failover.faults import held, injected
from formal_cluster_conformance.results import Violation

_LIMIT: Final = 5
_DEADLINE_S: Final = 0.5
_HITS_PER_SUBJECT: Final = 20
_SUBJECTS: Final = 5
_LOAD_S: Final = 30.0
"""How long it may take on a busy machine until there were so many subjects."""


class Grade(enum.StrEnum):
    """How a hit is decided, as in a policy."""

    STRICT = "strict"
    RESERVED = "reserved"
    EVENTUAL = "eventual"


_CLIENTS: Final = {Grade.STRICT: 9, Grade.RESERVED: 6, Grade.EVENTUAL: 3}


@dataclass
class _Tally:
    """What happened to the hits of one grade.

    Attributes:
        admitted: By subject.
        undecided: Hits of which the counters did not decide in time; they are taken back.
        during: Hits that were tried during the fault.
        wrong: What was not as it should be afterwards.
    """

    admitted: Counter[str] = field(default_factory=Counter)
    tried: int = 0
    undecided: int = 0
    during: int = 0
    wrong: Violation | None = None


async def count_through(bed: Bed, fault: Fault, grade: Grade) -> None:
    """New subjects all the while, each hit from all sides; then everything is counted.

    Raises:
        Violation: More than the grade allows was admitted, or an admitted hit is not counted.
        NotPossible: The counters do not know the grade.
    """
    played = f"{fault} counted"
    if played not in bed.shared:
        bed.shared[played] = await _play(bed, fault)
    tallies: dict[Grade, _Tally] = bed.shared[played]
    if grade not in tallies:
        raise NotPossible(f"these counters decide nothing by grade {grade}")
    tally = tallies[grade]
    bed.evidence.operations += tally.tried
    bed.evidence.unknown += tally.undecided
    bed.evidence.faults[str(fault)] = tally.during
    bed.evidence.demand(
        f"hits that were tried during the fault {fault}", tally.during, _CLIENTS[grade]
    )
    bed.evidence.demand("subjects", len(tally.admitted), _SUBJECTS)
    if tally.wrong is not None:
        raise tally.wrong


async def _play(bed: Bed, fault: Fault) -> dict[Grade, _Tally]:
    dice = random.Random(f"{bed.seed} counted {fault}")
    async with instances(bed) as group:
        counters = await group.three()
        await bed.settled()
        reserving = isinstance(counters[0], ReservingCounters)
        grades = [grade for grade in Grade if reserving or grade is not Grade.RESERVED]
        tallies = {grade: _Tally() for grade in grades}
        all_tallies = tuple(tallies.values())
        running, faulty = True, False

        async def client(grade: Grade, counting: Counters) -> None:
            while running:
                await _hit(grade, counting, tallies[grade], dice, faulty=faulty)

        async with asyncio.TaskGroup() as tasks:
            for grade in grades:
                for at in range(_CLIENTS[grade]):
                    tasks.create_task(client(grade, counters[at % len(counters)]))
            try:
                for _ in range(bed.size(1, 3)):
                    await asyncio.sleep(0.3)
                    async with injected(bed.site, fault, dice):
                        faulty = True
                        await held(
                            1.5, lambda: all(tallies[g].during >= _CLIENTS[g] for g in grades)
                        )
                        faulty = False
                    for at, each in enumerate(counters):
                        await _recovered(each, at, bed)
                    await held(
                        0.5,
                        lambda: all(len(tally.admitted) >= _SUBJECTS for tally in all_tallies),
                        most_s=_LOAD_S,
                    )
            finally:
                running = False
        for grade, tally in tallies.items():
            try:
                await _judge(grade, tally, counters)
            except Violation as violation:
                tally.wrong = violation
    return tallies


async def _hit(
    grade: Grade, counters: Counters, tally: _Tally, dice: random.Random, *, faulty: bool
) -> None:
    tally.tried += 1
    tally.during += faulty
    user = f"{grade}-{tally.tried // _HITS_PER_SUBJECT - dice.randrange(3)}"
    try:
        if grade is Grade.EVENTUAL:
            counters.attempt(read(user)).commit()
            tally.admitted[user] += 1
            await asyncio.sleep(0.005)
        else:
            decide = admitted if grade is Grade.STRICT else admitted_reserved
            answer = await decide(counters, read(user), _LIMIT, deadline_s=_DEADLINE_S)
            tally.admitted[user] += answer
    except CountersUnavailable as error:
        if grade is Grade.EVENTUAL:
            raise Violation(f"an eventual hit was not decided: {error}") from error
        tally.undecided += 1
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.002)


async def _judge(grade: Grade, tally: _Tally, counters: Sequence[Counters]) -> None:
    for user, count in tally.admitted.items():
        if grade is Grade.EVENTUAL:
            await agree(counters, read(user), count)
            continue
        holds(count <= _LIMIT, f"{count} hits of {user} were admitted, the limit is {_LIMIT}")
        if grade is Grade.RESERVED:  # what is reserved and not spent may count, too
            await at_least(counters, read(user), count)
        else:
            await agree(counters, read(user), count)
    if grade is Grade.STRICT:
        rest = [user for user, count in tally.admitted.items() if count < _LIMIT][:5]
        for user in rest:
            more = await admissions(counters, read(user), _LIMIT, 8)
            expect(_LIMIT, tally.admitted[user] + more, f"hits of {user} admitted in all")


async def _recovered(counters: Counters, at: int, bed: Bed) -> None:
    await caught_up(counters, f"instance-{at}")

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
            f"strict hits of instance-{at} are not decided {bed.declaration.recovery_s:g} s after "
            "the fault (`recovery_s` of the declaration)",
        )
        await asyncio.sleep(0.05)
    await eventually(
        lambda: counters.status().caught_up, f"the counters of instance-{at} are caught up"
    )
