"""How old is what one instance knows of the others, and what does that cost the store?

    python -m benchmarks staleness

Three instances in three processes, each on an etcd member of its own, count 10,000 hits a second
together (open loop, no policy). Fifty times a second the first one hits a subject that is new;
its staleness is the time from then until another instance's `peek` shows it. Looking takes place
once a millisecond, so the figures are up to a millisecond too large.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from benchmarks import ours
from benchmarks.bench import Effort, Section, Table
from benchmarks.three_instances import MEMBERS, Processes, three_members, three_processes
from formal_cluster.cluster import Cluster
from formal_cluster.model import CounterKey, CounterRead, Window

_HITS_PER_SECOND = 10_000
_SECONDS = 10.0
_PROBE_EVERY_S = 0.02
_GRACE_S = 1.0
_TURN_S = 0.001
_WINDOWS = (Window.parse("last_minute"),)


@dataclass(frozen=True, slots=True)
class Load:
    """What all processes do from `begin` on, by the monotonic clock that they share."""

    begin: float
    run: str

    @property
    def probes(self) -> int:
        return int(_SECONDS / _PROBE_EVERY_S)

    def probe(self, number: int) -> CounterRead:
        return CounterRead(CounterKey("probe", (self.run, str(number))), _WINDOWS)


@dataclass(frozen=True, slots=True)
class Seen:
    """What one process saw: when each probe counted there, how many hits and store operations."""

    probes: dict[int, float]
    hits: int
    operations: int


@dataclass(frozen=True, slots=True)
class Report:
    """Of all processes together; staleness in milliseconds."""

    hits_per_second: float
    p50_ms: float
    p99_ms: float
    slowest_ms: float
    operations_per_hit: float


async def _count(cluster: Cluster, number: int, _port: int, load: Load) -> Seen:
    """One process: hit at its rate, and hit or look for the probes."""
    clock, counters = time.monotonic, cluster.counters
    counted = _count_operations(cluster)
    draw = random.Random(number)
    begin, rate = load.begin, _HITS_PER_SECOND / MEMBERS
    probes: dict[int, float] = {}
    hits = next_probe = 0
    await asyncio.sleep(begin - clock())
    before = counted[0]
    while (elapsed := clock() - begin) < _SECONDS + _GRACE_S:
        while hits < min(elapsed, _SECONDS) * rate:
            counters.hit(ours.reads(draw.randrange(10_000))[0])
            hits += 1
        while next_probe < load.probes and next_probe * _PROBE_EVERY_S <= elapsed:
            if number == 0:
                probes[next_probe] = clock()
                counters.hit(load.probe(next_probe))
            next_probe += 1
        if number:
            looked_for = [n for n in range(next_probe) if n not in probes]
            counts = counters.peek([load.probe(n) for n in looked_for])
            now = clock()
            probes.update((n, now) for n, (c,) in zip(looked_for, counts, strict=True) if c.value)
        await asyncio.sleep(_TURN_S)
    return Seen(probes, hits, counted[0] - before)


def _count_operations(cluster: Cluster) -> list[int]:
    """Have the store count what it is asked from now on."""
    counted = [0]

    def counting(operation: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
        def counted_operation(*arguments: object, **options: object) -> Awaitable[object]:
            counted[0] += 1
            return operation(*arguments, **options)

        return counted_operation

    for name in ("get", "list", "put", "delete"):
        setattr(cluster.store, name, counting(getattr(cluster.store, name)))
    return counted


def measure(processes: Processes, run: str) -> Report:
    """One round."""
    seen: list[Seen] = processes.do(_count, Load(time.monotonic() + 0.5, run))
    first, *others = seen
    stale_ms = sorted(
        1_000 * (other.probes.get(number, float("inf")) - at)
        for other in others
        for number, at in first.probes.items()
    )
    hits = sum(one.hits for one in seen)
    return Report(
        hits_per_second=hits / _SECONDS,
        p50_ms=stale_ms[len(stale_ms) // 2],
        p99_ms=stale_ms[round(0.99 * (len(stale_ms) - 1))],
        slowest_ms=stale_ms[-1],
        operations_per_hit=sum(one.operations for one in seen) / hits,
    )


def run(effort: Effort) -> Section:
    """Rounds one after the other, each with its own hits."""
    with three_members() as ports, three_processes(ports) as processes:
        reports = [measure(processes, str(number)) for number in range(effort.rounds)]
    rows = [
        [
            str(number),
            f"{report.hits_per_second:,.0f}",
            f"{report.p50_ms:.1f}",
            f"{report.p99_ms:.1f}",
            f"{report.slowest_ms:.1f}",
            f"{report.operations_per_hit:.4f}",
        ]
        for number, report in enumerate(reports, start=1)
    ]
    columns = ["round", "hits/s", "p50 ms", "p99 ms", "slowest ms", "store operations a hit"]
    title = "How late others see a hit: three instances with a member each"
    return Section(tables=[Table(title, columns, rows)], rounds=effort.rounds)
