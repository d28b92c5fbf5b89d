"""Counting without a policy: hits a second of one process and one thread, everything included.

    python -m benchmarks count-and-read

`loads` are the subjects hit; `measure` counts the hits of one of them and ends when the store has
confirmed the last.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from itertools import accumulate

from benchmarks import ours
from benchmarks.bench import Effort, Section, Table
from benchmarks.measure import Result, Sample, sample
from formal_cluster.model import CounterKey, CounterRead, Window
from formal_cluster.protocols import Counters
from formal_cluster.server import collector

_HITS = 1_000_000
_KEYS = 10_000
_SLICE = 500
_TIMED = 10
_MINUTE = (Window.parse("last_minute"),)


def loads(hits: int) -> Mapping[str, Sequence[CounterRead]]:
    """By name, the subject of each hit."""
    draw = random.Random(1)
    # One object a subject, not one a hit: those of a million hits would be read from cold memory.
    reads = [
        CounterRead(CounterKey("access_count", (f"user{number}", "sensitive-bucket")), _MINUTE)
        for number in range(_KEYS)
    ]
    zipf = list(accumulate(1 / (rank + 1) for rank in range(_KEYS)))
    return {
        "one hot key": reads[:1] * hits,
        "10,000 keys, uniform": draw.choices(reads, k=hits),
        "10,000 keys, Zipf": draw.choices(reads, cum_weights=zipf, k=hits),
    }


async def measure(counters: Counters, subjects: Sequence[CounterRead]) -> Sample:
    """One round. The event loop runs after each slice of hits, so that the rate pays for writing
    the hits and folding them; every tenth slice is timed hit by hit."""
    clock = time.perf_counter
    hit = counters.hit
    latencies: list[float] = []
    begun = clock()
    for number, start in enumerate(range(0, len(subjects), _SLICE)):
        some = subjects[start : start + _SLICE]
        if number % _TIMED:
            for read in some:
                hit(read)
        else:
            for read in some:
                before = clock()
                hit(read)
                latencies.append(clock() - before)
        await asyncio.sleep(0)
    while counters.status().pending:  # noqa: ASYNC110  hits confirm on their own
        await asyncio.sleep(0.001)
    return sample(latencies, clock() - begun, len(subjects))


def run(effort: Effort) -> Section:
    """An instance with a member of its own, in this process; one load after the other."""
    samples = asyncio.run(_samples(effort))
    rows = [
        [
            name,
            f"{result.rate:,.0f}",
            f"{result.spread:.0%}",
            f"{result.p50_us:.1f}",
            f"{result.p99_us:.1f}",
        ]
        for name, result in samples.items()
    ]
    columns = ["subjects", "hits/s", "spread", "p50 µs", "p99 µs"]
    title = "hit(): counted and read, batched, written and folded, until the last is confirmed"
    return Section(tables=[Table(title, columns, rows)], rounds=effort.rounds)


async def _samples(effort: Effort) -> Mapping[str, Result]:
    some = loads(round(effort.seconds(_HITS)))
    samples: dict[str, list[Sample]] = {name: [] for name in some}
    async with ours.one_instance() as (cluster, _port):
        collector.calm()  # as `formal-cluster serve` does
        for _ in range(effort.rounds):
            for name, subjects in some.items():
                samples[name].append(await measure(cluster.counters, subjects))
    return {name: Result(name, of) for name, of in samples.items()}
