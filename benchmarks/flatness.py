"""`python -m benchmarks.flatness`: does anything grow with time, subjects or restarts?

One hour of traffic through three instances on a real etcd, in one process. Compressed 30 times: the
instances' clocks run that much faster, and so do snapshots, compaction of etcd's history, and
restarts. Not compressed: the flush interval, and what a store operation takes. So there are 30
times fewer hits and records in each simulated second than in a real one.

Users come and go all the time; every two minutes one instance is stopped and one with a new id
takes its place. The first quarter of an hour fills the windows. The figures of the last quarter
may not be larger than those of the second by more than 15 %.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import json
import logging
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

from benchmarks import ours
from benchmarks.lines import Line, svg
from formal_cluster.counters.counters import LogCounters
from formal_cluster.counters.settings import LogCountersSettings
from formal_cluster.hookspecs import CountersContext, StoreContext
from formal_cluster.model import CounterKey, CounterRead, Instance, Window
from formal_cluster_store_etcd.external import ExternalStore
from formal_cluster_store_etcd.settings import EtcdSettings

_SPEED = 30
_MINUTE_S = 60 / _SPEED
_MINUTES = 60
_LOOK_MINUTES = 5
_RESTART_MINUTES = 2
_SNAPSHOT_MINUTES = 0.5
_HITS_PER_S = 150
_USERS_AT_A_TIME = 500
_NEW_USERS_PER_MINUTE = 100
_WINDOWS = (Window.parse("last_minute"), Window.parse("last_10_minutes"))
_TOLERATED = 1.15
_PREFIX = b"/flatness/"
_LOGGER = logging.getLogger("flatness")


class Sample(NamedTuple):
    """How things stand after so many simulated minutes."""

    minute: int
    database_kib: float
    keys: int
    subjects: int
    traced_kib: float
    rss_mib: float


_SHOWN = {
    "database_kib": "etcd's database in use, KiB",
    "keys": "keys",
    "subjects": "subjects held by an instance",
    "traced_kib": "Python's allocations, KiB",
    "rss_mib": "resident memory of Python, MiB",
}


class Etcd:
    """One etcd of our own, and what it says of itself."""

    def __init__(self, home: str) -> None:
        self.url, peer = (f"http://127.0.0.1:{port}" for port in ours.free_ports(2))
        self._process = subprocess.Popen(
            [
                *("etcd", "--data-dir", f"{home}/etcd", "--log-level", "error"),
                *("--listen-client-urls", self.url, "--advertise-client-urls", self.url),
                *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
                *("--initial-cluster", f"default={peer}"),
            ],
            stderr=subprocess.DEVNULL,
        )

    async def ctl(self, *arguments: str) -> str:
        """etcdctl's answer."""
        process = await asyncio.create_subprocess_exec(
            *("etcdctl", "--endpoints", self.url, *arguments),
            stdout=subprocess.PIPE,
            env={**os.environ, "ETCDCTL_API": "3"},
        )
        answer, _ = await process.communicate()
        return answer.decode()

    async def compact(self, revision: int) -> None:
        """Discard history, and give the space back, as its owner's maintenance would."""
        await self.ctl("compact", "--physical", str(revision))
        await self.ctl("defrag")

    async def look(self) -> tuple[int, int]:
        """Bytes of the database, number of keys."""
        status = json.loads(await self.ctl("endpoint", "status", "-w", "json"))[0]["Status"]
        listing = json.loads(await self.ctl("get", "--prefix", "/", "--keys-only", "-w", "json"))
        return status["dbSize"], len(listing.get("kvs", ()))

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()


class _Clocks:
    """The same for all instances, and fast."""

    def __init__(self) -> None:
        self._wall, self._began = time.time_ns(), time.monotonic_ns()

    def monotonic_ns(self) -> int:
        return (time.monotonic_ns() - self._began) * _SPEED

    def wall_ns(self) -> int:
        return self._wall + self.monotonic_ns()


class Hour:
    """The traffic, the instances, and the samples."""

    def __init__(self, etcd: Etcd, stack: AsyncExitStack, seed: int) -> None:
        self._etcd = etcd
        self._stack = stack
        self._random = random.Random(seed)
        self._numbers = itertools.count(1)
        self._began = 0.0
        self._clocks = _Clocks()
        self._instances: list[tuple[LogCounters, AsyncExitStack]] = []
        self.hits = self.restarts = 0
        self.samples: list[Sample] = []

    async def run(self) -> None:
        """Until the hour is over."""
        for _ in range(3):
            await self._add()
        self._began = time.monotonic()
        traffic = asyncio.create_task(self._traffic())
        before = 0
        for minute in range(1, _MINUTES + 1):
            await asyncio.sleep(self._began + minute * _MINUTE_S - time.monotonic())
            if minute % _RESTART_MINUTES == 0:
                await self._replace_one()
            if minute % _LOOK_MINUTES == 0:
                # History is kept for as long as the embedded etcd would: five minutes.
                revision = self._instances[0][0].status().revision
                if before:
                    await self._etcd.compact(before)
                before = revision
                await self._sample(minute)
        traffic.cancel()
        await asyncio.gather(traffic, return_exceptions=True)
        for _, stack in self._instances:
            await stack.aclose()

    async def _traffic(self) -> None:
        step_s = 0.02
        while True:
            passed = time.monotonic() - self._began
            first = int(passed / _MINUTE_S * _NEW_USERS_PER_MINUTE)
            while self.hits < passed * _HITS_PER_S:  # also what a busy machine held up
                user = f"user-{first + self._random.randrange(_USERS_AT_A_TIME)}"
                read = CounterRead(CounterKey("reads", (user, "bucket")), _WINDOWS)
                counters, _ = self._random.choice(self._instances)
                counters.attempt([read]).commit()
                self.hits += 1
            await asyncio.sleep(step_s)

    async def _replace_one(self) -> None:
        await self._add()
        _, stack = self._instances.pop(0)
        await stack.aclose()
        self.restarts += 1

    async def _add(self) -> None:
        instance = Instance(f"instance-{next(self._numbers)}", "127.0.0.1")
        stack = AsyncExitStack()
        store = ExternalStore(
            EtcdSettings(endpoints=(self._etcd.url,)),
            StoreContext(instance, discovery=None, logger=_LOGGER),  # type: ignore[arg-type]
        )
        counters = LogCounters(
            LogCountersSettings(snapshot_interval_s=_SNAPSHOT_MINUTES * _MINUTE_S),
            CountersContext(instance, store, _PREFIX, _LOGGER),
            monotonic_ns=self._clocks.monotonic_ns,
            wall_ns=self._clocks.wall_ns,
        )
        await store.start()
        stack.push_async_callback(store.stop)
        await counters.start()
        stack.push_async_callback(counters.stop)
        self._stack.push_async_callback(stack.aclose)
        async with asyncio.timeout(120):
            while not counters.status().caught_up:  # noqa: ASYNC110  it has no event for it
                await asyncio.sleep(0.01)
        self._instances.append((counters, stack))

    async def _sample(self, minute: int) -> None:
        gc.collect()
        database, keys = await self._etcd.look()
        sample = Sample(
            minute,
            database / 1024,
            keys,
            max(counters.status().subjects for counters, _ in self._instances),
            tracemalloc.get_traced_memory()[0] / 1024,
            _rss_mib(),
        )
        self.samples.append(sample)
        _say("  ".join(f"{name}={value:.0f}" for name, value in sample._asdict().items()))


def grown(samples: Sequence[Sample]) -> dict[str, float]:
    """The least of each figure in the last quarter, divided by that of the second quarter.

    The least, as the database swings with the history that it holds; what leaks raises the floor.
    """
    quarter = len(samples) // 4
    ratios = {}
    for name in _SHOWN:
        values = [float(getattr(sample, name)) for sample in samples]
        ratios[name] = min(values[-quarter:]) / min(values[quarter : 2 * quarter])
    return ratios


def main() -> int:
    """0 if nothing has grown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flatness")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", type=Path, help="write the plot to this file")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    hour = asyncio.run(_hour(arguments.seed))
    ratios = grown(hour.samples)
    _say(f"{hour.hits} hits, {hour.restarts} restarts; last quarter / second quarter:")
    for name, ratio in ratios.items():
        _say(f"  {_SHOWN[name]}: {ratio:.3f}")
    if arguments.write is not None:
        lines = [
            Line(text, [float(getattr(sample, name)) for sample in hour.samples])
            for name, text in _SHOWN.items()
        ]
        minutes = [sample.minute for sample in hour.samples]
        title = f"One hour, compressed {_SPEED} times: {hour.hits} hits, {hour.restarts} restarts"
        arguments.write.write_text(svg(title, minutes, lines))
    return int(max(ratios.values()) > _TOLERATED)


async def _hour(seed: int) -> Hour:
    home = tempfile.mkdtemp(prefix="formal-cluster-flatness-")
    etcd = Etcd(home)
    tracemalloc.start()
    try:
        async with AsyncExitStack() as stack:
            hour = Hour(etcd, stack, seed)
            await hour.run()
    finally:
        etcd.stop()
        shutil.rmtree(home)
    return hour


def _rss_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
