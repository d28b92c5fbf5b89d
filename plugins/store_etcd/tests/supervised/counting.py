"""A program for tests: an instance that decides as fast as it can, and says so, until killed.

python counting.py ENDPOINT POLICY ID GRADE GO

It prints "r" when it is ready, waits for the file GO, and then prints a letter for each decision:
"a" admitted, "b" blocked.
"""

import asyncio
import logging
import sys
from pathlib import Path

from formal_cluster import Cluster

CALLERS = 3
PAUSE_S = 0.01


def settings(endpoint, policy, name, grade):
    """Three counters of one request: of the user and the bucket, of the user, of the address."""
    counters = [
        {"name": "access_count", "entity": "bucket", "subject": ["user", "entity"]},
        {"name": "request_count", "entity": "user", "subject": ["user"]},
        {"name": "request_count", "entity": "client", "subject": ["input.client.address"]},
    ]
    return {
        "instance": {"id": name},
        "store": {"driver": "etcd", "etcd": {"endpoints": [endpoint]}},
        "policy": {"paths": [policy], "reload_seconds": 0},
        "counter": [{**counter, "grade": grade} for counter in counters],
    }


async def main(*arguments, go):
    logging.disable()
    async with Cluster.from_settings(settings(*arguments)) as cluster:
        while not cluster.status().reachable:
            await asyncio.sleep(0.01)
        say("r")
        while not go.exists():
            await asyncio.sleep(0.01)
        await asyncio.gather(*(call(cluster) for _ in range(CALLERS)))


async def call(cluster):
    document = {
        "user": {"id": "alice"},
        "bucket": {"name": "b"},
        "client": {"id": "c", "address": "10.0.0.1"},
    }
    while True:
        decision = await cluster.decide_as_declared("pre_request", document)
        say("b" if decision.action == "block" else "a")
        await asyncio.sleep(PAUSE_S)


def say(letter):
    sys.stdout.write(letter)
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:5], go=Path(sys.argv[5])))
