"""What a view of a large ECS service costs: `python -m benchmarks.discovery_ecs`.

The unmodified boto3 against the scripted ECS on loopback, which validates every request and
response and shares the process and its interpreter lock with the driver. So the figures are an
upper bound of the driver's own work; what ECS itself takes comes on top.
"""

from __future__ import annotations

import asyncio
import logging
import os
import statistics
import time
from collections import Counter

from formal_cluster.hookspecs import DiscoveryContext
from formal_cluster_conformance.ecs import EcsServer, EcsWorld, TaskMetadataServer
from formal_cluster_discovery_ecs import plugin
from formal_cluster_discovery_ecs.metadata_endpoint import VARIABLE
from formal_cluster_discovery_ecs.settings import EcsSettings

_SIZES = (10, 100, 1_000)
_LOOKS = 5


async def measured(size: int) -> str:
    """One row of the table."""
    world = EcsWorld()
    tasks = [
        world.run(f"127.1.{number // 250}.{number % 250 + 1}", service="connector")
        for number in range(size)
    ]
    async with EcsServer(world) as ecs, TaskMetadataServer(world) as metadata:
        os.environ[VARIABLE] = metadata.uri(tasks[0])
        driver = plugin.create_discovery(
            EcsSettings(endpoint_url=ecs.url), DiscoveryContext(None, logging.getLogger(__name__))
        )
        seconds, processor = [], []
        for _ in range(1 + _LOOKS):
            ecs.calls.clear()
            begun, used = time.perf_counter(), time.process_time()
            view = await driver.discover()
            seconds.append(time.perf_counter() - begun)
            processor.append(time.process_time() - used)
            if len(view.instances) != size or not view.complete:
                raise AssertionError(f"{len(view.instances)} of {size} instances were found")
        calls = Counter(ecs.actions)
        await driver.aclose()
    first, *others = seconds
    return (
        f"| {size:,} | {calls['ListTasks']} + {calls['DescribeTasks']} | {first:.2f} "
        f"| {statistics.median(others):.3f} | {max(others):.3f} "
        f"| {statistics.median(processor):.3f} |"
    )


async def run() -> str:
    """The table as Markdown."""
    rows = [await measured(size) for size in _SIZES]
    return "\n".join(
        [
            "| tasks | List + Describe | first view, s | median of 5 more | slowest | CPU, s |",
            "|--:|--:|--:|--:|--:|--:|",
            *rows,
        ]
    )


def main() -> None:
    """Command line."""
    # For the scripted ECS; real credentials must not be used, nor looked for.
    os.environ |= {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "not-a-secret"}
    print(asyncio.run(run()))


if __name__ == "__main__":
    main()
