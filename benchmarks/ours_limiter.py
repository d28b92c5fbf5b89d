"""This project as a contestant: a `Cluster` on the same one etcd that the other contestants use.

An external etcd, so that each side has one store process; what three embedded members cost is
measured by itself. All settings are at their defaults.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.contestant import Limiter, Place
from formal_cluster.cluster import Cluster
from formal_cluster.model import CounterKey, CounterRead, Window

_POLICY = """package formal.v2

import future.keywords.if

pre_request := {{ "action": "block", "type": "block_with_formal_message" }} if {{
  input.bucket.name == "sensitive-bucket"
  input.bucket.access_count.{window} > input.limit
}}
"""
_DEADLINE_S = 2.0
_READY_WITHIN_S = 30


@asynccontextmanager
async def _cluster(place: Place) -> AsyncIterator[Cluster]:
    with tempfile.TemporaryDirectory() as directory:
        policy = Path(directory) / "policy.rego"
        policy.write_text(_POLICY.format(window=_window_name(place)))
        settings = {
            "instance": {"id": f"instance-{place.instance}"},
            "store": {
                "driver": "etcd",
                "prefix": f"/{place.space}/",
                "etcd": {"endpoints": [f"http://127.0.0.1:{place.etcd_port}"]},
            },
            "policy": {"paths": [str(policy)], "reload_seconds": 0},
        }
        async with Cluster.from_settings(settings) as cluster:
            deadline = time.monotonic() + _READY_WITHIN_S
            while not cluster.counters.status().caught_up:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"not ready: {cluster.status()}")
                await asyncio.sleep(0.01)
            yield cluster


def _window_name(place: Place) -> str:
    return f"last_{place.window_s}_seconds"


class _Counting:
    """What the three share: reads of a subject, its count, and waiting for the log."""

    def __init__(self, cluster: Cluster, place: Place) -> None:
        self.counters = cluster.counters
        self._windows = (Window.parse(_window_name(place)),)

    def reads(self, subject: str) -> list[CounterRead]:
        key = CounterKey("access_count", (subject, "sensitive-bucket"))
        return [CounterRead(key, self._windows)]

    def count(self, subject: str) -> int:
        return self.counters.peek(self.reads(subject))[0][0].value

    async def settled(self) -> None:
        while self.counters.status().pending:  # noqa: ASYNC110  hits confirm on their own
            await asyncio.sleep(0.001)


@asynccontextmanager
async def counting(place: Place) -> AsyncIterator[Limiter]:
    """Accesses that are permitted anyway: counted and read in one call, without a limit."""
    async with _cluster(place) as cluster:
        some = _Counting(cluster, place)
        hit = some.counters.hit

        def count(subject: str, _limit: int) -> bool:
            hit(some.reads(subject)[0])
            return True

        yield Limiter(now=count, count=some.count, settled=some.settled)


@asynccontextmanager
async def eventual(place: Place) -> AsyncIterator[Limiter]:
    """Counted and read in memory; no policy."""
    async with _cluster(place) as cluster:
        counting = _Counting(cluster, place)
        counters, reads = counting.counters, counting.reads

        def admit(subject: str, limit: int) -> bool:
            attempt = counters.attempt(reads(subject))
            if attempt.counts[0][0].value >= limit:
                attempt.cancel()
                return False
            attempt.commit()
            return True

        yield Limiter(now=admit, count=counting.count, settled=counting.settled)


@asynccontextmanager
async def decide(place: Place) -> AsyncIterator[Limiter]:
    """The whole way of a decision: enrichment, counting, a policy in Rego, the decision."""
    async with _cluster(place) as cluster:
        counting = _Counting(cluster, place)

        def admit(subject: str, limit: int) -> bool:
            document = {
                "user": {"id": subject},
                "bucket": {"name": "sensitive-bucket"},
                "limit": limit,
            }
            return cluster.decide("pre_request", document).permitted

        yield Limiter(now=admit, count=counting.count, settled=counting.settled)


@asynccontextmanager
async def strict(place: Place) -> AsyncIterator[Limiter]:
    """Appended to the log first, decided on the count before it there; no policy."""
    async with _cluster(place) as cluster:
        counting = _Counting(cluster, place)
        counters, reads = counting.counters, counting.reads

        async def admit(subject: str, limit: int) -> bool:
            wanted = reads(subject)
            if counters.peek(wanted)[0][0].value >= limit:
                return False
            attempt = await counters.attempt_strict(wanted, deadline_s=_DEADLINE_S)
            if attempt.counts[0][0].value >= limit:
                attempt.cancel()
                return False
            attempt.commit()
            return True

        yield Limiter(later=admit)


@asynccontextmanager
async def strict_hit(place: Place) -> AsyncIterator[Limiter]:
    """Appended to the log; permitted whatever the count before it there is."""
    async with _cluster(place) as cluster:
        counting = _Counting(cluster, place)
        counters, reads = counting.counters, counting.reads

        async def admit(subject: str, _limit: int) -> bool:
            (await counters.attempt_strict(reads(subject), deadline_s=_DEADLINE_S)).commit()
            return True

        yield Limiter(later=admit)
