"""Instances that count over a real etcd and are killed while they do."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from formal_cluster import Cluster
from formal_cluster.model import CounterKey, CounterRead, Window

pytestmark = [pytest.mark.etcd, pytest.mark.timeout(400)]

PROGRAM = Path(__file__).parent / "counting.py"
LIMIT = 2_000
BLOCK = 64
HOUR = (Window.parse("last_hour"),)
READS = [
    CounterRead(CounterKey("bucket.access_count", ("alice", "b")), HOUR),
    CounterRead(CounterKey("user.request_count", ("alice",)), HOUR),
    CounterRead(CounterKey("client.request_count", ("10.0.0.1",)), HOUR),
]


class Instance:
    """A process that runs the program; killed and started again it goes on under its id."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        self._arguments = arguments
        self._out = directory / f"{arguments[2]}.out"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = ["setpriv", "--pdeathsig", "KILL", sys.executable, str(PROGRAM), *self._arguments]
        with self._out.open("ab") as out:
            self._process = subprocess.Popen(command, stdout=out, env=os.environ)

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    @property
    def decided(self) -> str:
        return self._out.read_text()

    @property
    def admitted(self) -> int:
        return self.decided.count("a")


@pytest.fixture
def counting(etcd_single, tmp_path):
    """`counting(name, grade, limit)`: an instance, not started yet."""
    policy = tmp_path / "policy.rego"
    with contextlib.ExitStack() as stack:

        def make(name: str, grade: str, limit: int = LIMIT) -> Instance:
            conditions = "\n".join(
                f'pre_request := {{"action": "block"}} if input.{counter}.last_hour > {limit}'
                for counter in ("bucket.access_count", "user.request_count", "client.request_count")
            )
            policy.write_text(f"package formal.v2\n\n{conditions}\n")
            instance = Instance(
                tmp_path, etcd_single.client_url, str(policy), name, grade, str(tmp_path / "go")
            )
            stack.callback(instance.kill)
            return instance

        yield make


async def test_a_reserved_limit_holds_whoever_is_killed_with_tokens_in_hand(
    counting, eventually, tmp_path
):
    one, two, _ = instances = [counting(name, "reserved") for name in ("one", "two", "three")]
    for instance in instances:
        instance.start()
    # Nobody counts before all can, or the first one to start would take all there is.
    await eventually(lambda: all(i.decided == "r" for i in instances))
    (tmp_path / "go").touch()
    await eventually(lambda: all(i.admitted > 20 for i in instances))
    for victim in (one, two):
        victim.kill()
        victim.start()
    # Everybody alive has been blocked for longer than any token lives.
    await eventually(lambda: all(i.decided.endswith("b" * 200) for i in instances))

    admitted = sum(instance.admitted for instance in instances)
    assert LIMIT - 3 * BLOCK < admitted <= LIMIT


@pytest.mark.parametrize("grade", ["strict", "eventual"])
async def test_a_kill_never_splits_the_counters_of_one_request(
    counting, etcd_single, eventually, tmp_path, grade
):
    (tmp_path / "go").touch()
    one, two = instances = [counting(name, grade, 1_000_000) for name in ("one", "two")]
    seen: set[int] = set()
    settings = {
        "instance": {"id": "observer"},
        "store": {"driver": "etcd", "etcd": {"endpoints": [etcd_single.client_url]}},
    }
    async with Cluster.from_settings(settings) as observer:

        def look() -> int:
            """How many different counts were seen so far; in each the three are one."""
            user, bucket, address = (counts[0].value for counts in observer.counters.peek(READS))
            assert user == bucket == address
            seen.add(user)
            return len(seen)

        async def watch() -> None:
            while True:
                look()
                await asyncio.sleep(0.0005)

        await eventually(lambda: observer.status().reachable)
        for instance in instances:
            instance.start()
        watching = asyncio.create_task(watch())
        for victim in (one, two):
            before = look()
            await eventually(lambda n=before: look() > n + 10)
            victim.kill()
            victim.start()
        before = look()
        await eventually(lambda: look() > before + 10)
        watching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await watching
