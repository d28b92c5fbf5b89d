"""`reserved` beside `strict` at a limit of 500: decisions per second and store writes per decision.

    python -m benchmarks reserved

One instance over its own etcd, alternating rounds. Callers work on users of their own, each until
its limit is used up, then on the next: so every block's growth and its end are in the figures.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks import ours
from benchmarks.bench import Effort, Section, Table
from formal_cluster.cluster import Cluster
from formal_cluster.model import Grade

LIMIT = 500
POLICY = f"""package formal.v2

import future.keywords.if

pre_request := {{"action": "block"}} if input.bucket.access_count.last_minute > {LIMIT}
"""
SECONDS = 2.0


class Round(NamedTuple):
    """One round of one grade."""

    decisions_per_s: float
    p50_us: float
    p99_us: float
    writes_per_decision: float


async def measure(
    *, rounds: int, seconds: float, callers: Sequence[int] = (1, 16, 64)
) -> dict[tuple[Grade, int], list[Round]]:
    """Rounds by grade and number of concurrent callers."""
    results: dict[tuple[Grade, int], list[Round]] = {}
    users = itertools.count()
    async with ours.one_instance(POLICY) as (cluster, _port):
        for _ in range(rounds):
            for number, grade in itertools.product(callers, (Grade.STRICT, Grade.RESERVED)):
                one = await _round(cluster, grade, number, seconds, users)
                results.setdefault((grade, number), []).append(one)
    return results


async def _round(
    cluster: Cluster, grade: Grade, callers: int, seconds: float, users: itertools.count[int]
) -> Round:
    decide = cluster.decide_strict if grade is Grade.STRICT else cluster.decide_reserved
    clock = time.perf_counter
    latencies: list[float] = []
    before = cluster.counters.status().revision
    begun = clock()

    async def caller() -> None:
        while True:
            document = {"user": {"id": f"user{next(users)}"}, "bucket": {"name": "b"}}
            for _ in range(LIMIT):
                asked = clock()
                if asked - begun >= seconds:
                    return
                decision = await decide("pre_request", document)
                latencies.append(clock() - asked)
                if not decision.permitted:
                    raise AssertionError(f"a limit of {LIMIT} was not reached yet: {decision}")

    await asyncio.gather(*(caller() for _ in range(callers)))
    elapsed = clock() - begun
    await asyncio.sleep(0.7)  # until what is not spent has been taken back: those are writes too
    writes = cluster.counters.status().revision - before
    latencies.sort()
    last = len(latencies) - 1
    return Round(
        len(latencies) / elapsed,
        latencies[last // 2] * 1e6,
        latencies[round(last * 0.99)] * 1e6,
        writes / len(latencies),
    )


def run(effort: Effort) -> Section:
    """Both grades, with more and more callers."""
    results = asyncio.run(measure(rounds=effort.rounds, seconds=effort.seconds(SECONDS)))
    rows = []
    for (grade, callers), rounds in sorted(results.items(), key=lambda item: item[0][1]):
        rate, p50, p99, writes = (statistics.median(column) for column in zip(*rounds, strict=True))
        rows.append(
            [
                str(callers),
                grade.value,
                f"{rate:,.0f}",
                f"{p50:,.0f}",
                f"{p99:,.0f}",
                f"{writes:.4f}",
            ]
        )
    columns = ["callers", "grade", "decisions/s", "p50 µs", "p99 µs", "store writes a decision"]
    return Section(
        tables=[Table("Reserved beside strict: one instance, limit 500", columns, rows)],
        rounds=effort.rounds,
    )
