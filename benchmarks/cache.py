"""The shared cache beside a bare aetcd client on the same etcd: `python -m benchmarks cache`.

Reads are from memory, in blocks of 100,000, by the thread's processor time. Writes are one put
each; ours also come back by the watch, into the near cache. Contestants alternate; medians, spread
is (max - min) / median.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections.abc import Callable
from typing import Any

import aetcd
import msgspec

from benchmarks import ours
from benchmarks.bench import Effort, Section
from benchmarks.measure import Operation, Result, Sample, waiting
from formal_cluster.cache import TEXT, Cache, of_type
from formal_cluster.cache.status import CacheStatus
from formal_cluster.cluster import Cluster
from formal_cluster.server import collector

_BLOCK = 100_000
_ENTRIES = 10_000
_SECONDS = 1.0
_TURN_S = 0.4
_CALLERS = (1, 16, 64)
_VALUE = b"v" * 200


class _Job(msgspec.Struct, frozen=True):
    user: str
    statement: str


_CACHES = {
    "held": {"max_entries": 100_000},
    "text": {},
    "jobs": {},
    "written": {"max_entries": 1_000_000, "max_bytes": 1 << 30, "deadline_ms": 10_000},
    "full": {"max_entries": 1_000, "deadline_ms": 30_000},
}


async def _fill(cluster: Cluster) -> None:
    held, text = cluster.cache("held"), cluster.cache("text", TEXT)
    jobs = cluster.cache("jobs", of_type(_Job))
    await text.put("key-0", "t" * 200)
    await jobs.put("key-0", _Job("alice", "s" * 200))
    for first in range(0, _ENTRIES, 100):
        await asyncio.gather(*(held.put(f"key-{n}", _VALUE) for n in range(first, first + 100)))
        await _until(lambda: _status(cluster).namespaces["held"].entries >= first + 100)  # noqa: B023


def _status(cluster: Cluster) -> CacheStatus:
    status = cluster.status().cache
    assert status is not None
    return status


async def _until(condition: Callable[[], bool]) -> None:
    """Blocks of work keep the watch from being read; let it catch up."""
    await asyncio.sleep(0.01)
    while not condition():  # noqa: ASYNC110  the watch tells nobody
        await asyncio.sleep(0.01)


def _peeks(cache: Cache[Any], names: list[str]) -> Callable[[], None]:
    def block() -> None:
        for name in names:
            cache.peek(name)

    return block


async def _gets(cache: Cache[Any], names: list[str]) -> None:
    for name in names:
        await cache.get(name)


async def _reads(cluster: Cluster, rounds: int) -> list[str]:
    held = cluster.cache("held")
    names = [f"key-{number}" for number in range(_ENTRIES)] * (_BLOCK // _ENTRIES)
    same = ["key-0"] * _BLOCK
    contestants = {
        "peek, bytes, 10,000 keys": _peeks(held, names),
        "peek, no entry": _peeks(held, ["missing"] * _BLOCK),
        "peek, text of 200": _peeks(cluster.cache("text", TEXT), same),
        "peek, msgspec struct of 200": _peeks(cluster.cache("jobs", of_type(_Job)), same),
    }
    rates: dict[str, list[float]] = {}
    clock = time.thread_time  # what else runs on the machine is not to count
    for _ in range(rounds):
        for name, block in contestants.items():
            await _until(lambda: (_status(cluster).stale_ms or 0) < 1_200)
            began = clock()
            block()
            rates.setdefault(name, []).append(_BLOCK / (clock() - began))
        await _until(lambda: (_status(cluster).stale_ms or 0) < 1_200)
        began = clock()
        await _gets(held, names)
        rates.setdefault("await get, bytes, 10,000 keys", []).append(_BLOCK / (clock() - began))
    lines = [
        "| near cache, one thread | per second of one core | spread | best |",
        "|---|--:|--:|--:|",
    ]
    for name, seen in rates.items():
        result = Result(name, [Sample(rate, 0, 0) for rate in seen])
        lines.append(f"| {name} | {result.rate:,.0f} | {result.spread:.0%} | {max(seen):,.0f} |")
    return lines


async def _writes(cluster: Cluster, port: int, rounds: int) -> list[str]:
    numbers = itertools.count()
    written, full = cluster.cache("written"), cluster.cache("full")

    async def bare(_caller: int) -> None:
        await client.put(b"/bench/%d" % (next(numbers) % _ENTRIES), _VALUE)

    async def ours(_caller: int) -> None:
        await written.put(f"{next(numbers) % _ENTRIES}", _VALUE)

    async def ours_absent(_caller: int) -> None:
        await written.put_if_absent(f"absent-{next(numbers)}", _VALUE)

    async def ours_ttl(_caller: int) -> None:
        await written.put(f"{next(numbers) % _ENTRIES}", _VALUE, ttl=600)

    async def ours_full(_caller: int) -> None:
        await full.put(f"{next(numbers)}", _VALUE)

    async def ours_fresh(_caller: int) -> None:
        await written.get(f"{next(numbers) % _ENTRIES}", fresh=True)

    contestants: list[tuple[str, Operation]] = [
        ("bare aetcd put", bare),
        ("put", ours),
        ("put_if_absent", ours_absent),
        ("put with a ttl of its own", ours_ttl),
        ("put into a full namespace, one evicted each", ours_full),
        ("get(fresh=True)", ours_fresh),
    ]
    lines = [
        "| waiting | | per second | spread | p50 ms | p99 ms | ÷ bare put |",
        "|--:|---|--:|--:|--:|--:|--:|",
    ]
    async with aetcd.Client("127.0.0.1", port) as client:
        for callers in _CALLERS:
            seen: dict[str, list[Sample]] = {name: [] for name, _ in contestants}
            for _ in range(rounds):
                for name, operation in contestants:
                    seen[name].append(await waiting(operation, callers, _SECONDS))
            results = [Result(name, samples) for name, samples in seen.items()]
            lines += [
                f"| {callers} | {r.name} | {r.rate:,.0f} | {r.spread:.0%} | {r.p50_us / 1e3:.2f} "
                f"| {r.p99_us / 1e3:.2f} | {r.rate / results[0].rate:.2f} |"
                for r in results
            ]
    return lines


async def _pairs(cluster: Cluster, port: int, pairs: int) -> list[str]:
    """Short turns next to each other: what else the machine does hits both alike."""
    numbers = itertools.count()
    written = cluster.cache("written")

    async def bare(_caller: int) -> None:
        await client.put(b"/bench/%d" % (next(numbers) % _ENTRIES), _VALUE)

    async def ours(_caller: int) -> None:
        await written.put(f"{next(numbers) % _ENTRIES}", _VALUE)

    async def turn(operation: Operation, callers: int) -> tuple[float, float]:
        used = time.process_time()
        rate = (await waiting(operation, callers, _TURN_S)).rate
        return rate, (time.process_time() - used) / (rate * _TURN_S)

    lines = [
        "| waiting | put ÷ bare put, median | quartiles | processor time per put, ours and bare |",
        "|--:|--:|--:|--:|",
    ]
    async with aetcd.Client("127.0.0.1", port) as client:
        for callers in _CALLERS:
            turns = [(await turn(bare, callers), await turn(ours, callers)) for _ in range(pairs)]
            ratios = [mine[0] / floor[0] for floor, mine in turns]
            low, _, high = statistics.quantiles(ratios, n=4)
            mine_us = statistics.median(mine[1] for _, mine in turns) * 1e6
            floor_us = statistics.median(floor[1] for floor, _ in turns) * 1e6
            lines.append(
                f"| {callers} | {statistics.median(ratios):.2f} | {low:.2f}–{high:.2f} "
                f"| {mine_us:.0f} and {floor_us:.0f} µs |"
            )
    return lines


async def _tables(*, rounds: int) -> str:
    """The tables as Markdown. Reads need no etcd: what is behind the memory is not seen."""
    async with Cluster.from_settings({"store": {"driver": "memory"}, "cache": _CACHES}) as cluster:
        await _fill(cluster)
        collector.calm()  # as `formal-cluster serve` does
        tables = await _reads(cluster, rounds)
    async with ours.one_instance(cache=_CACHES) as (cluster, port):
        tables += ["", *await _pairs(cluster, port, 3 * rounds)]
        tables += ["", *await _writes(cluster, port, rounds)]
    return "\n".join(tables)


def run(effort: Effort) -> Section:
    """Reads from memory, then writes beside bare ones."""
    return Section(markdown=asyncio.run(_tables(rounds=effort.rounds)), rounds=effort.rounds)
