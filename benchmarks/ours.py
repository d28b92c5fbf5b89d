"""This project, as an embedding process uses it: a `Cluster` over its own etcd."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable
from operator import methodcaller
from pathlib import Path

from benchmarks.measure import Operation
from benchmarks.stores import free_port
from formal_cluster.cluster import Cluster
from formal_cluster.model import ClusterState, CounterKey, CounterRead, Window
from formal_cluster.protocols import Attempt, Counters

SEED_POLICY = """package formal.v2

import future.keywords.if

pre_request := { "action": "block", "type": "block_with_formal_message" } if {
  input.bucket.name == "sensitive-bucket"
  input.bucket.access_count.last_minute > 5
}
"""
_MINUTE = (Window.parse("last_minute"),)


@contextlib.asynccontextmanager
async def one_instance(
    rego: str = SEED_POLICY, **settings: object
) -> AsyncIterator[tuple[Cluster, int]]:
    """A cluster of one, and its etcd's client port.

    Args:
        settings: Further sections of its settings.
    """
    with tempfile.TemporaryDirectory() as directory:
        policy = Path(directory) / "policy.rego"
        policy.write_text(rego)
        client_port, peer_port = free_ports(2)
        settings |= {
            "discovery": {
                "drivers": ["static"],
                "static": {"self": "a", "instances": [{"id": "a", "address": "127.0.0.1"}]},
            },
            "store": {
                "driver": "etcd",
                "etcd": {
                    "data_dir": f"{directory}/default.etcd",
                    "client_port": client_port,
                    "peer_port": peer_port,
                },
            },
            "policy": {"paths": [str(policy)], "reload_seconds": 0},
        }
        async with Cluster.from_settings(settings) as cluster:
            await until_clustered(cluster)
            yield cluster, client_port


@contextlib.asynccontextmanager
async def client_instance(number: int, client_port: int) -> AsyncIterator[Cluster]:
    """One of several instances on an etcd that runs already."""
    with tempfile.TemporaryDirectory() as directory:
        policy = Path(directory) / "policy.rego"
        policy.write_text(SEED_POLICY)
        instance = {"id": f"instance-{number}", "address": "127.0.0.1"}
        settings = {
            "discovery": {
                "drivers": ["static"],
                "static": {"self": instance["id"], "instances": [instance]},
            },
            "store": {"driver": "etcd", "etcd": {"endpoints": [f"http://127.0.0.1:{client_port}"]}},
            "policy": {"paths": [str(policy)], "reload_seconds": 0},
        }
        async with Cluster.from_settings(settings) as cluster:
            await until_clustered(cluster)
            yield cluster


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    ports: dict[int, None] = {}
    while len(ports) < count:
        ports[free_port()] = None
    return list(ports)


async def until_clustered(cluster: Cluster) -> None:
    """Wait until the cluster has formed."""
    deadline = time.monotonic() + 30
    while cluster.status().state is not ClusterState.CLUSTERED:
        if time.monotonic() > deadline:
            raise SystemExit(f"the cluster of one did not form: {cluster.status()}")
        await asyncio.sleep(0.05)


def strict_hits(counters: Counters) -> Operation:
    """An operation: the next subject's strict hit. `conclude` it with `commit`."""
    numbers = itertools.cycle(range(len(_READS)))

    def hit(_caller: int) -> Awaitable[Attempt]:
        return counters.attempt_strict(_READS[next(numbers)], deadline_s=10)

    return hit


commit = methodcaller("commit")


def reads(number: int) -> list[CounterRead]:
    """One subject out of 10,000, last minute. Made beforehand: that is the caller's part."""
    return _READS[number % len(_READS)]


def _read(number: int) -> CounterRead:
    return CounterRead(CounterKey("access_count", (f"user{number}", "sensitive-bucket")), _MINUTE)


_READS = [[_read(number)] for number in range(10_000)]


def document(number: int) -> dict[str, object]:
    """A small input, as the seed's policy needs it."""
    return {"user": {"id": f"user{number % 10_000}"}, "bucket": {"name": "sensitive-bucket"}}
