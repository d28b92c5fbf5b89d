"""Three processes and three members: strict hits beside the bare loop, and what `staleness` does.

    python -m benchmarks three-instances

`three_members` starts the members, `three_processes` the processes. Each is connected to a member
of its own, has the counters and the bare loop in it, and does what it is told, so the contestants
can alternate. All share one machine: the ratios are the point.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any

from benchmarks import ours
from benchmarks.bare_loop import bare_loop
from benchmarks.bench import Effort, Section, Table
from benchmarks.measure import Result, Sample, waiting
from formal_cluster.cluster import Cluster
from formal_cluster.server import collector

MEMBERS = 3
_SECONDS = 1.5
_CALLERS = (64, 256)
_ROUNDS = 3  # as in `strict`

Job = Callable[[Cluster, int, int, Any], Awaitable[Any]]
"""Done in a process: gets its cluster, its number, its member's client port, and an argument."""


@contextlib.contextmanager
def three_members() -> Iterator[Sequence[int]]:
    """A cluster of three real etcd members; their client ports."""
    binary = shutil.which("etcd")
    if binary is None:
        message = "no etcd on PATH; run `make setup`"
        raise SystemExit(message)
    ports = ours.free_ports(2 * MEMBERS)
    client_ports, peer_ports = ports[:MEMBERS], ports[MEMBERS:]
    cluster = ",".join(f"m{n}=http://127.0.0.1:{port}" for n, port in enumerate(peer_ports))
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        for number, (client, peer) in enumerate(zip(client_ports, peer_ports, strict=True)):
            process = subprocess.Popen(
                [
                    *(binary, "--name", f"m{number}", "--data-dir", f"{directory}/m{number}"),
                    *("--listen-client-urls", f"http://127.0.0.1:{client}"),
                    *("--advertise-client-urls", f"http://127.0.0.1:{client}"),
                    *("--listen-peer-urls", f"http://127.0.0.1:{peer}"),
                    *("--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}"),
                    *("--initial-cluster", cluster, "--logger", "zap"),
                ],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            stack.callback(process.wait)
            stack.callback(process.terminate)
        yield client_ports


# ── a process ────────────────────────────────────────────────────────────────────────────────


def _process(number: int, client_port: int, orders: Connection) -> None:
    asyncio.run(_obey(number, client_port, orders))


async def _obey(number: int, client_port: int, orders: Connection) -> None:
    """Do each job that comes through the pipe; answer with its result."""
    loop = asyncio.get_running_loop()
    async with ours.client_instance(number, client_port) as cluster:
        collector.calm()
        orders.send(None)
        while (order := await loop.run_in_executor(None, orders.recv)) is not None:
            job, argument = order
            orders.send(await job(cluster, number, client_port, argument))


class Processes:
    """The running processes."""

    def __init__(self, pipes: Sequence[Connection]) -> None:
        self._pipes = pipes

    def do(self, job: Job, argument: object) -> list[Any]:
        """Have all of them do the same at the same time; their results."""
        for pipe in self._pipes:
            pipe.send((job, argument))
        return [pipe.recv() for pipe in self._pipes]


@contextlib.contextmanager
def three_processes(client_ports: Sequence[int]) -> Iterator[Processes]:
    """One process for each port, ready to work."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    for number, port in enumerate(client_ports):
        here, there = context.Pipe()
        process = context.Process(target=_process, args=(number, port, there))
        process.start()
        pipes.append(here)
        processes.append(process)
    try:
        for pipe in pipes:
            pipe.recv()
        yield Processes(pipes)
    finally:
        for pipe in pipes:
            pipe.send(None)
        for process in processes:
            process.join()


# ── strict hits ──────────────────────────────────────────────────────────────────────────────


async def _strict(cluster: Cluster, _number: int, _port: int, callers: int) -> Sample:
    return await waiting(ours.strict_hits(cluster.counters), callers, _SECONDS, ours.commit)


async def _bare(_cluster: Cluster, number: int, port: int, callers: int) -> Sample:
    async with bare_loop("127.0.0.1", port, key=b"/bench/bare/%d" % number) as floor:
        return await waiting(floor.hit, callers, _SECONDS)


CONTESTANTS: Mapping[str, Job] = {"strict hit": _strict, "bare loop": _bare}


def strict(processes: Processes, *, rounds: int) -> Mapping[int, list[Result]]:
    """By the number of callers waiting in each process: all contestants, in alternating rounds."""
    results: dict[int, list[Result]] = {}
    for callers in _CALLERS:
        samples: dict[str, list[Sample]] = {name: [] for name in CONTESTANTS}
        for _ in range(rounds):
            for name, job in CONTESTANTS.items():
                samples[name].append(_together(processes.do(job, callers)))
        results[callers] = [Result(name, some) for name, some in samples.items()]
    return results


def _together(samples: Sequence[Sample]) -> Sample:
    """What the processes did at the same time: rates add up, latencies are the middle one's."""
    return Sample(
        rate=sum(sample.rate for sample in samples),
        p50_us=statistics.median(sample.p50_us for sample in samples),
        p99_us=statistics.median(sample.p99_us for sample in samples),
    )


def run(effort: Effort) -> Section:
    """Beside the bare loops of three processes."""
    with three_members() as ports, three_processes(ports) as processes:
        results = strict(processes, rounds=_ROUNDS * effort.rounds)
    rows = [
        [
            f"{callers} in each",
            result.name,
            f"{result.rate:,.0f}",
            f"{result.spread:.0%}",
            f"{result.p50_us / 1e3:.2f}",
            f"{result.p99_us / 1e3:.2f}",
            f"{result.rate / contestants[-1].rate:.2f}",
        ]
        for callers, contestants in results.items()
        for result in contestants
    ]
    columns = ["waiting", "", "hits/s", "spread", "p50 ms", "p99 ms", "÷ bare loop"]
    return Section(
        tables=[Table("Strict hits of three instances with a member each", columns, rows)],
        rounds=_ROUNDS * effort.rounds,
    )
