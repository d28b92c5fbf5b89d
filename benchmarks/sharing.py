"""What it costs to share counts, and how late the others see a hit: three instances, paced.

Contestants that decide in memory are offered 10,000 accesses a second, as the time between two
writes is what they save on; those that ask the store each time are offered 900, which all of them
can answer.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.bench import Bars, Effort, Section, Table
from benchmarks.contestant import Contestant, Store
from benchmarks.contestants import chosen
from benchmarks.fleet import Failures, Instance, fleet
from benchmarks.loads import draws
from benchmarks.loops import closed
from benchmarks.stores import Stores, Traffic, stores

_INSTANCES = 3
_OFFERED = {True: 10_000, False: 900}
_SECONDS = 2.0
_LIMIT = 500
_WARM_UP_S = 0.3
_START_TOGETHER_S = 0.2
_TICK_S = 0.001
_PROBE_EVERY_S = 0.02
_LOOK_ON_FOR_S = 1.0


@dataclass(frozen=True, slots=True)
class Paced:
    """One instance's part.

    Attributes:
        decisions: Accesses decided, probes included.
        seconds: Until the store had them all.
        probes: When each probe was hit (instance 0) or first seen (instance 1), on the machine's
            monotonic clock.
        ended: When it made no more accesses and looked for no more probes.
    """

    decisions: int
    seconds: float
    probes: Sequence[float]
    ended: float


@dataclass(frozen=True, slots=True)
class Cost:
    """What came of a contestant."""

    offered: float
    decisions: int
    seconds: float
    traffic: Traffic
    staleness_s: Sequence[float]


def run(effort: Effort) -> Section:
    """Each contestant once: these are counts, and thousands of them."""
    found: dict[str, Cost] = {}
    failures = Failures()
    with stores() as running:
        for contestant in chosen(effort, shared=True, few=True):
            with failures.noted(contestant.name):
                found[contestant.name] = _measured(contestant, running, effort.seconds(_SECONDS))
    return Section(
        tables=[_table(found)],
        charts=[
            Bars(
                "store-operations",
                "Store operations for each decision (three instances)",
                "operations per decision, logarithmic",
                ["operations"],
                [
                    (name, [cost.traffic.operations / cost.decisions])
                    for name, cost in found.items()
                ],
            )
        ],
        markdown=failures.markdown(),
        raw={name: _raw(cost) for name, cost in found.items()},
    )


def _measured(contestant: Contestant, running: Stores, seconds: float) -> Cost:
    store = running.redis if contestant.store is Store.REDIS else running.etcd
    offered = _OFFERED[contestant.local]
    with fleet(contestant.name, running, instances=_INSTANCES) as three:
        three.all(closed, "Zipf", "paced", _LIMIT, callers=contestant.callers, seconds=_WARM_UP_S)
        before = store.traffic()
        parts: list[Paced] = three.all(
            paced,
            per_second=offered / _INSTANCES,
            seconds=seconds,
            start_at=time.monotonic() + _START_TOGETHER_S,
        )
        traffic = store.traffic().since(before)
    hit, seen = parts[0].probes, parts[1].probes
    return Cost(
        offered=offered,
        decisions=sum(part.decisions for part in parts),
        seconds=max(part.seconds for part in parts),
        traffic=traffic,
        staleness_s=_staleness(hit, seen, parts[1].ended) if contestant.local else [],
    )


async def paced(instance: Instance, *, per_second: float, seconds: float, start_at: float) -> Paced:
    """Make the accesses that are due at each tick; hit probes, or look for them."""
    subjects = [f"paced:{subject}" for subject in draws("Zipf", instance.number)]
    clock = time.monotonic
    looking: asyncio.Task[list[float]] | None = None
    if instance.number == 1 and instance.limiter.count is not None:
        until = start_at + seconds + _LOOK_ON_FOR_S
        looking = asyncio.create_task(_look_for_probes(instance, until))
    hits: list[float] = []
    decisions = 0
    waiting: set[asyncio.Task[bool]] = set()

    def decide(subject: str) -> None:
        nonlocal decisions
        decisions += 1
        if instance.limiter.now is not None:
            instance.limiter.now(subject, _LIMIT)
        else:
            assert instance.limiter.later is not None
            task = asyncio.ensure_future(instance.limiter.later(subject, _LIMIT))
            waiting.add(task)
            task.add_done_callback(waiting.discard)

    await asyncio.sleep(max(0.0, start_at - clock()))
    made = 0
    while (since := clock() - start_at) < seconds:
        if instance.number == 0 and since > len(hits) * _PROBE_EVERY_S:
            decide(f"probe{len(hits)}")
            hits.append(clock())
        for _ in range(int(since * per_second) - made):
            decide(subjects[made % len(subjects)])
            made += 1
        await asyncio.sleep(_TICK_S)
    await asyncio.gather(*waiting)
    if instance.limiter.settled is not None:
        await instance.limiter.settled()
    took = clock() - start_at
    probes = hits if looking is None else await looking
    return Paced(decisions, took, probes, clock())


async def _look_for_probes(instance: Instance, until: float) -> list[float]:
    """When each probe was first counted here, one after the other."""
    assert instance.limiter.count is not None
    seen: list[float] = []
    while time.monotonic() < until:
        if instance.limiter.count(f"probe{len(seen)}"):
            seen.append(time.monotonic())
        else:
            await asyncio.sleep(_TICK_S)
    return seen


def _staleness(hit: Sequence[float], seen: Sequence[float], ended: float) -> list[float]:
    """From each hit until it was seen; until the end for those that were not."""
    return sorted(
        max(0.0, after - before)
        for before, after in itertools.zip_longest(hit, seen, fillvalue=ended)
    )


def _table(found: dict[str, Cost]) -> Table:
    rows = []
    for name, cost in found.items():
        traffic, decisions = cost.traffic, cost.decisions
        rows.append(
            [
                name,
                f"{cost.offered:,.0f}",
                f"{decisions / cost.seconds:,.0f}",
                f"{traffic.requests / decisions:.4f}",
                f"{traffic.operations / decisions:.4f}",
                f"{traffic.bytes / decisions:,.1f}",
                f"{traffic.cpu_s / decisions * 1e6:,.1f}",
                *_percentiles(cost.staleness_s),
            ]
        )
    return Table(
        f"Three instances, Zipf, limit {_LIMIT}: for each decision",
        [
            "contestant",
            "offered/s",
            "decided/s",
            "requests",
            "operations",
            "bytes",
            "store's CPU µs",
            "staleness p50 ms",
            "p99 ms",
        ],
        rows,
        note="A pipeline is one request; operations are the commands in it, those of scripts too, "
        "and etcd's watch events. Staleness: from a hit on one instance until another counts it; "
        "—: every decision asks the store.",
    )


def _percentiles(seconds: Sequence[float]) -> list[str]:
    if not seconds:
        return ["—", "—"]
    last = len(seconds) - 1
    return [f"{seconds[round(last * part)] * 1e3:,.1f}" for part in (0.5, 0.99)]


def _raw(cost: Cost) -> dict[str, object]:
    return {
        "offered": cost.offered,
        "decisions": cost.decisions,
        "seconds": cost.seconds,
        "requests": cost.traffic.requests,
        "operations": cost.traffic.operations,
        "bytes": cost.traffic.bytes,
        "cpu_s": cost.traffic.cpu_s,
        "staleness_s": list(cost.staleness_s),
    }
