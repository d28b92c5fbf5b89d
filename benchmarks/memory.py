"""What a million subjects cost: memory, joining, snapshots, and folding beside them.

    python -m benchmarks memory

Two instances on one etcd, each in a process of its own. The first folds batches as if others had
appended them, and makes a snapshot; the second joins. How long an event loop was blocked is given
twice: by the clock, and by the CPU time that its thread took, as other processes slow this one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks import ours
from benchmarks.bench import Effort, Section
from formal_cluster.cluster import Cluster
from formal_cluster.counters.counters import LogCounters
from formal_cluster.counters.fold import Record, State
from formal_cluster.counters.records import Batch
from formal_cluster.model import CounterKey, CounterRead, Window
from formal_cluster.protocols import StateStore
from formal_cluster.server import collector

Figures = dict[str, float]

_COUNTER = "bucket access"
_SUBJECTS, _HITS = 1_000_000, 3
_KEYS_PER_BATCH = 2_000
_HITS_PER_BATCH = 100
_BATCHES = 300
_FEW = 1_000
_HOUR = 3_600_000


class Blocked:
    """The longest time that the event loop did not get to this, in milliseconds."""

    def __init__(self) -> None:
        self.wall_ms = 0.0
        self.cpu_ms = 0.0

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[Blocked]:
        """Watch while the context is open."""
        self.wall_ms = self.cpu_ms = 0.0
        task = asyncio.create_task(self._watch())
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _watch(self) -> None:
        pause = 0.001
        while True:
            wall, cpu = time.perf_counter(), time.thread_time()
            await asyncio.sleep(pause)
            self.wall_ms = max(self.wall_ms, (time.perf_counter() - wall - pause) * 1e3)
            self.cpu_ms = max(self.cpu_ms, (time.thread_time() - cpu) * 1e3)


class Filler:
    """Folds batches of a writer that is not in the store."""

    def __init__(self, counters: LogCounters) -> None:
        self._ledger = counters._ledger  # noqa: SLF001 - what is measured has no other way in
        self._random = random.Random(1)
        self._seq = 0

    @property
    def state(self) -> State:
        """What it folds into."""
        return self._ledger.state

    async def fill(self, hits: int, subjects: range) -> None:
        """Give each subject its hits, all in the last minute."""
        for number in range(hits):
            newest = 55_000 * (hits - number - 1) // hits
            for first in range(subjects.start, subjects.stop, _KEYS_PER_BATCH):
                some = range(first, min(first + _KEYS_PER_BATCH, subjects.stop))
                self._fold(some, [newest + self._random.randrange(5_000) for _ in some])
                await asyncio.sleep(0)
        while self.state.subjects._owed > 0:  # noqa: SLF001 - growth makes sweeping busy
            self._fold([0], [0])

    def batches(self, subjects: int) -> tuple[float, float]:
        """Microseconds of CPU per hit of one of the first `subjects`, median and mean."""
        times = []
        for _ in range(_BATCHES):
            some = self._random.sample(range(subjects), _HITS_PER_BATCH)
            begun = time.thread_time()
            self._fold(some, [0] * len(some))
            times.append((time.thread_time() - begun) / _HITS_PER_BATCH * 1e6)
        times.sort()
        return times[len(times) // 2], sum(times) / len(times)

    def _fold(self, numbers: Sequence[int], ages: Sequence[int]) -> None:
        self._seq += 1
        batch = Batch(
            epoch=1,
            seq=self._seq,
            proposed=self._ledger.catch_up.clock.now(self._ledger.now()),
            wall=0,
            windows=[(_COUNTER, _HOUR)] if self._seq == 1 else [],
            keys=[CounterKey(_COUNTER, (f"user-{n:06}", f"bucket-{n % 10}")) for n in numbers],
            hits=[(index, 1, age) for index, age in enumerate(ages)],
        )
        with self._ledger.lock:
            self.state.apply(Record("filler", batch, self.state.revision))
            self.state.forget_writer("filler")  # or it would look as if the store had lost it


async def holder(endpoint: str, subjects: int, hits: int, parent: Connection) -> None:
    """The instance that has them all; it stays until it is told that the other one has joined."""
    async with instance(endpoint, "a") as (counters, store):
        filler, blocked = Filler(counters), Blocked()
        figures = {"rss_before": rss()}
        await filler.fill(hits, range(_FEW))
        filler.batches(_FEW)
        figures["few_median"], figures["few_mean"] = filler.batches(_FEW)
        await filler.fill(hits, range(_FEW, subjects))
        figures["rss"] = rss()
        filler.batches(_FEW)
        figures["hot_median"], figures["hot_mean"] = filler.batches(_FEW)
        figures["cold_median"], figures["cold_mean"] = filler.batches(subjects)
        await one_hit(counters)  # or there would be nothing new for a snapshot
        cpu, begun = time.thread_time(), time.perf_counter()
        async with blocked.watching():
            await counters._snapshotter.save_if_due()  # noqa: SLF001 - nobody else is to be first
        figures["snapshot_s"] = time.perf_counter() - begun
        figures["snapshot_cpu_s"] = time.thread_time() - cpu
        figures["blocked_ms"], figures["blocked_cpu_ms"] = blocked.wall_ms, blocked.cpu_ms
        listing = await store.list(b"")
        chunks = [entry for entry in listing.entries if b"/snapshot/" in entry.key]
        figures["snapshot_bytes"] = sum(len(entry.value) for entry in chunks)
        figures["chunks"] = len(chunks) - 1
        figures["rss_after"] = rss()
        parent.send(figures)
        await asyncio.to_thread(parent.recv)


async def joiner(endpoint: str, parent: Connection) -> None:
    """An instance that joins."""
    blocked, begun, cpu = Blocked(), time.perf_counter(), time.process_time()
    async with blocked.watching(), instance(endpoint, "b") as (counters, _):
        parent.send(
            {
                "ready_s": time.perf_counter() - begun,
                "ready_cpu_s": time.process_time() - cpu,
                "blocked_ms": blocked.wall_ms,
                "blocked_cpu_ms": blocked.cpu_ms,
                "subjects": counters.status().subjects,
                "rss": rss(),
            }
        )


@contextlib.asynccontextmanager
async def instance(endpoint: str, name: str) -> AsyncIterator[tuple[LogCounters, StateStore]]:
    """The counters of an instance that has caught up."""
    settings = {
        "discovery": {
            "drivers": ["static"],
            "static": {"self": name, "instances": [{"id": name, "address": "127.0.0.1"}]},
        },
        "store": {"driver": "etcd", "etcd": {"endpoints": [endpoint]}},
        "counters": {"log": {"snapshot_interval_s": 120}},
    }
    async with Cluster.from_settings(settings) as cluster:
        counters = cluster.counters
        assert isinstance(counters, LogCounters)
        async with asyncio.timeout(120):
            while not counters.status().caught_up:  # noqa: ASYNC110 - it does so by itself
                await asyncio.sleep(0.001)
        yield counters, cluster.store


async def one_hit(counters: LogCounters) -> None:
    """A hit that reaches the log."""
    key = CounterKey(_COUNTER, ("user-000000", "bucket-0"))
    counters.attempt([CounterRead(key, (Window.parse("last_hour"),))]).commit()
    while counters.status().pending:  # noqa: ASYNC110 - it gets there by itself
        await asyncio.sleep(0.001)


@contextlib.contextmanager
def etcd() -> Iterator[str]:
    """An etcd of our own; its endpoint."""
    client, peer = (f"http://127.0.0.1:{port}" for port in ours.free_ports(2))
    with tempfile.TemporaryDirectory() as directory:
        process = subprocess.Popen(
            [
                "etcd",
                f"--data-dir={directory}",
                f"--initial-cluster=default={peer}",
                f"--listen-client-urls={client}",
                f"--advertise-client-urls={client}",
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield client
        finally:
            process.terminate()
            process.wait()


def rss() -> float:
    """This process's resident memory, MiB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 2**20


def in_process(role: Callable[..., Any], *arguments: object) -> None:
    """What a child process does."""
    collector.calm()  # as `formal-cluster serve` does
    asyncio.run(role(*arguments))


def report(subjects: int, hits: int, held: Figures, joined: Figures) -> str:
    """The figures as Markdown."""
    per_subject = (held["rss"] - held["rss_before"]) * 2**20 / subjects
    rows = [
        ("whole process with them, MiB", f"{held['rss']:.0f}"),
        ("the same before, MiB", f"{held['rss_before']:.0f}"),
        ("bytes a subject", f"{per_subject:.0f}"),
        ("whole process after a snapshot, MiB", f"{held['rss_after']:.0f}"),
        ("fold, µs a hit: 1,000 subjects in all", _fold(held, "few")),
        (f"fold, µs a hit: 1,000 busy ones of {subjects:,}", _fold(held, "hot")),
        (f"fold, µs a hit: any of {subjects:,}", _fold(held, "cold")),
        ("snapshot, s (CPU s)", f"{held['snapshot_s']:.1f} ({held['snapshot_cpu_s']:.1f})"),
        ("snapshot, MB in the store", f"{held['snapshot_bytes'] / 1e6:.1f}"),
        ("snapshot, chunks", f"{held['chunks']:.0f}"),
        ("event loop blocked by it, ms (CPU ms)", _blocked(held)),
        ("joiner ready, s (CPU s)", f"{joined['ready_s']:.1f} ({joined['ready_cpu_s']:.1f})"),
        ("its event loop blocked, ms (CPU ms)", _blocked(joined)),
        ("its subjects", f"{joined['subjects']:,.0f}"),
        ("its whole process, MiB", f"{joined['rss']:.0f}"),
    ]
    head = [f"| {subjects:,} subjects with {hits} hits each | |", "|---|--:|"]
    return "\n".join(head + [f"| {name} | {value} |" for name, value in rows])


def _fold(figures: Figures, which: str) -> str:
    return f"{figures[f'{which}_median']:.1f} (mean {figures[f'{which}_mean']:.1f})"


def _blocked(figures: Figures) -> str:
    return f"{figures['blocked_ms']:.0f} ({figures['blocked_cpu_ms']:.0f})"


def run(effort: Effort) -> Section:
    """One process fills, makes a snapshot and waits; another joins."""
    subjects = 20_000 if effort.quick else _SUBJECTS
    context = get_context("spawn")
    with etcd() as endpoint:
        here, theirs = context.Pipe()
        first = context.Process(target=in_process, args=(holder, endpoint, subjects, _HITS, theirs))
        first.start()
        held = here.recv()
        second = context.Process(target=in_process, args=(joiner, endpoint, theirs))
        second.start()
        joined = here.recv()
        here.send("joined")
        for process in (first, second):
            process.join()
    return Section(markdown=report(subjects, _HITS, held, joined))
