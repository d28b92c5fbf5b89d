"""Run everything, print the tables, and with `--write` keep them in README.md."""

from __future__ import annotations

import argparse
import asyncio
import datetime
import itertools
import os
import platform
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from benchmarks import ours, peers
from benchmarks.bare_loop import bare_loop
from benchmarks.measure import Operation, Result, Sample, sample, waiting
from formal_cluster.cluster import Cluster
from formal_cluster.server import collector

_README = Path(__file__).with_name("README.md")
_BEGIN, _END = "<!-- results -->", "<!-- /results -->"
_ROUNDS = 5
_DECISIONS = 60_000
_SLICE = 250
_REDIS_HITS = 10_000
_STRICT_SECONDS = 1.5
_CALLERS = (1, 64, 256)


async def decisions(cluster: Cluster, first: int) -> Sample:
    """In-process decisions in slices; between slices the loop runs, so that the rate pays for
    flushing and folding on the same core."""
    clock = time.perf_counter
    latencies: list[float] = []
    begun = clock()
    for start in range(first, first + _DECISIONS, _SLICE):
        for number in range(start, start + _SLICE):
            document = ours.document(number)
            before = clock()
            cluster.decide("pre_request", document)
            latencies.append(clock() - before)
        await asyncio.sleep(0)
    while cluster.counters.status().pending:  # noqa: ASYNC110  hits confirm on their own
        await asyncio.sleep(0.001)
    return sample(latencies, clock() - begun)


async def in_memory(cluster: Cluster, redis_port: int) -> list[Result]:
    """One caller, one process: a decision of ours, and a count of the peers'."""
    loop = asyncio.get_running_loop()
    rounds: dict[str, list[Sample]] = {}
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as own_process:
        for number in range(_ROUNDS):
            rounds.setdefault("decide(), eventual, the seed's policy", []).append(
                await decisions(cluster, number * _DECISIONS)
            )
            for name in peers.PEERS:
                rounds.setdefault(name, []).append(
                    await loop.run_in_executor(
                        own_process, peers.measure, name, redis_port, _REDIS_HITS
                    )
                )
    return [Result(name, samples) for name, samples in rounds.items()]


async def strict(cluster: Cluster, client_port: int) -> dict[int, list[Result]]:
    """Strict hits beside the bare loop on the same etcd."""

    subjects = itertools.count()

    async def hit(_caller: int) -> None:
        reads = ours.reads(next(subjects))
        attempt = await cluster.counters.attempt_strict(reads, deadline_s=10)
        attempt.commit()

    results: dict[int, list[Result]] = {}
    async with bare_loop("127.0.0.1", client_port) as floor:
        contestants: list[tuple[str, Operation]] = [("strict hit", hit), ("bare loop", floor.hit)]
        for callers in _CALLERS:
            rounds: dict[str, list[Sample]] = {name: [] for name, _ in contestants}
            for _ in range(_ROUNDS):
                for name, operation in contestants:
                    rounds[name].append(await waiting(operation, callers, _STRICT_SECONDS))
            results[callers] = [Result(name, samples) for name, samples in rounds.items()]
    return results


async def run() -> str:
    """Everything in one run; the report as Markdown."""
    with peers.redis_server() as redis_port:
        async with ours.one_instance() as (cluster, client_port):
            collector.calm()  # as `formal-cluster serve` does
            memory = await in_memory(cluster, redis_port)
            hits = await strict(cluster, client_port)
    return "\n".join([_machine(), "", *_memory_table(memory), "", *_strict_table(hits)])


def _memory_table(results: Sequence[Result]) -> list[str]:
    ours_rate = results[0].rate
    lines = [
        "| one caller, one process | per second | spread | p50 µs | p99 µs | ours ÷ it |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {r.name} | {r.rate:,.0f} | {r.spread:.0%} | {r.p50_us:,.1f} | {r.p99_us:,.1f} "
        f"| {ours_rate / r.rate:.2f} |"
        for r in results
    ]
    return lines


def _strict_table(results: dict[int, list[Result]]) -> list[str]:
    lines = [
        "| waiting | | hits per second | spread | p50 ms | p99 ms | ÷ bare loop |",
        "|--:|---|--:|--:|--:|--:|--:|",
    ]
    for callers, (hit, floor) in results.items():
        lines += [
            f"| {callers} | {r.name} | {r.rate:,.0f} | {r.spread:.0%} | {r.p50_us / 1e3:.2f} "
            f"| {r.p99_us / 1e3:.2f} | {r.rate / floor.rate:.2f} |"
            for r in (hit, floor)
        ]
    return lines


def _machine() -> str:
    etcd = subprocess.run(["etcd", "--version"], capture_output=True, text=True, check=True)
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return (
        f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}: {os.cpu_count()} cores of {model}, "
        f"{platform.system()} {platform.release()}, CPython {platform.python_version()}, "
        f"{etcd.stdout.splitlines()[0]}; medians of {_ROUNDS} alternating rounds, spread is "
        "(max − min) / median."
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--write", action="store_true", help="keep the tables in README.md")
    arguments = parser.parse_args()
    report = asyncio.run(run())
    print(report)
    if arguments.write:
        text = _README.read_text(encoding="utf-8")
        head, _, rest = text.partition(_BEGIN)
        tail = rest.partition(_END)[2]
        _README.write_text(f"{head}{_BEGIN}\n{report}\n{_END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
