"""Strict hits beside their floor and their peers, at the same number of calls waiting."""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import asdict

from benchmarks.bench import Bars, Effort, Section, Table
from benchmarks.contestants import BARE, CAS, LUA, STRICT, STRICT_HIT
from benchmarks.fleet import Failures, Instance, fleet
from benchmarks.measure import Result, Sample, waiting
from benchmarks.stores import Stores, stores

_NAMES = (STRICT, STRICT_HIT, BARE, LUA, CAS)
_CALLERS = (1, 64, 256)
_SECONDS = 1.0
_WARM_UP_S = 0.5  # connections are made meanwhile
_ROUNDS = 3  # times as many as elsewhere: what counts here is a ratio, and rounds differ by half
_SUBJECTS = 10_000
_LIMIT = 1_000_000


def run(effort: Effort) -> Section:
    """One instance of each in a process of its own, round after round."""
    names = [name for name in _NAMES if not effort.only or name in effort.only]
    rounds: dict[int, dict[str, list[Sample]]] = {n: defaultdict(list) for n in _CALLERS}
    failures = Failures()
    with stores() as running:
        for _ in range(_ROUNDS * effort.rounds):
            for name in names:
                with failures.noted(name):
                    for callers, samples in _visit(name, running, effort).items():
                        rounds[callers][name] += samples
    names = [name for name in names if not failures.of(name)]
    results = {
        callers: {name: Result(name, of[name]) for name in names} for callers, of in rounds.items()
    }
    return Section(
        tables=[_table(callers, of) for callers, of in results.items()],
        charts=[
            Bars(
                "strict",
                "Decisions before which the store is asked (one instance)",
                "decisions per second, logarithmic",
                [f"{callers} waiting" for callers in _CALLERS],
                [(name, [results[n][name].rate for n in _CALLERS]) for name in names],
            )
        ],
        rounds=_ROUNDS * effort.rounds,
        markdown=failures.markdown(),
        raw={
            str(callers): {name: [asdict(s) for s in r.samples] for name, r in of.items()}
            for callers, of in results.items()
        },
    )


def _visit(name: str, running: Stores, effort: Effort) -> dict[int, list[Sample]]:
    with fleet(name, running, instances=1) as one:
        one.all(wait, callers=max(_CALLERS), seconds=_WARM_UP_S)
        seconds = effort.seconds(_SECONDS)
        return {n: one.all(wait, callers=n, seconds=seconds) for n in _CALLERS}


async def wait(instance: Instance, *, callers: int, seconds: float) -> Sample:
    """Keep that many calls outstanding."""
    later = instance.limiter.later
    assert later is not None
    admit = later
    numbers = itertools.count()

    async def hit(_caller: int) -> None:
        await admit(f"user{next(numbers) % _SUBJECTS}", _LIMIT)

    return await waiting(hit, callers, seconds)


def _table(callers: int, of: dict[str, Result]) -> Table:
    floor = of.get(BARE)
    lua = of.get(LUA)
    return Table(
        f"{callers} waiting, one instance, one store",
        ["contestant", "per second", "spread", "p50 ms", "p99 ms", "÷ bare loop", "÷ Lua"],
        [
            [
                name,
                f"{r.rate:,.0f}",
                f"{r.spread:.0%}",
                f"{r.p50_us / 1e3:.2f}",
                f"{r.p99_us / 1e3:.2f}",
                f"{r.rate / floor.rate:.2f}" if floor else "",
                f"{r.rate / lua.rate:.1f}" if lua else "",
            ]
            for name, r in of.items()
        ],
        note="Closed loop: latencies are of the calls that were made. As `decide_strict` does, "
        f"{STRICT!r} first looks in memory whether the limit is reached; {STRICT_HIT!r} is the "
        "hit alone, which is what the bare loop is the floor of.",
    )
