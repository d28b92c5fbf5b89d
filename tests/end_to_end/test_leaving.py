"""SIGTERM: an instance hands over and stops while the others, and it itself, go on deciding."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

import aiohttp
import pytest

pytestmark = [pytest.mark.etcd, pytest.mark.slow, pytest.mark.timeout(180)]


class Traffic:
    """Strict accesses through one instance, each of a new user, so that each must be allowed."""

    def __init__(self, site: Any, instance: Any) -> None:
        self.site = site
        self.instance = instance
        self.allowed_at: list[float] = []
        self.refused: list[str] = []
        self.longest_s = 0.0

    async def run(self) -> None:
        for number in range(1_000_000):
            began = time.monotonic()
            user = f"{self.instance.name}-{number}"
            action = await self.site.access(self.instance, user, table="ledger")
            self.longest_s = max(self.longest_s, time.monotonic() - began)
            if action == "allow":
                self.allowed_at.append(time.monotonic())
            else:
                self.refused.append(user)
            await asyncio.sleep(0.01)


async def terminate(instance: Any) -> float:
    """SIGTERM; the seconds until it has exited with status 0."""
    began = time.monotonic()
    assert 0 == await asyncio.to_thread(instance.terminate)
    return time.monotonic() - began


async def leader_of(site: Any) -> Any:
    leader = (await site.get(site.instances[0], "/v1/cluster"))["leader"]
    return next(instance for instance in site.instances if instance.name == leader)


async def test_strict_decisions_go_on_everywhere_while_the_leader_leaves(three: Any) -> None:
    leaver = await leader_of(three)
    stay = [instance for instance in three.instances if instance is not leaver]
    traffic = {instance.name: Traffic(three, instance) for instance in three.instances}
    running = {name: asyncio.create_task(each.run()) for name, each in traffic.items()}
    told_at = time.monotonic()
    leaving = asyncio.create_task(terminate(leaver))

    async def not_ready() -> bool:
        return not (await three.get(leaver, "/ready"))["ready"]

    await three.until("its readiness is red", not_ready, within_s=1)
    assert await leaving < 10
    with pytest.raises(aiohttp.ClientError):
        await running.pop(leaver.name)
    await three.until_voters(2, seen_by=stay)
    for task in running.values():
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    assert [[], [], []] == [each.refused for each in traffic.values()]
    assert max(each.longest_s for each in traffic.values()) < 2
    assert traffic[leaver.name].allowed_at[-1] > told_at + 1


async def test_all_are_told_to_stop_at_once_and_have_stopped_in_no_time(three: Any) -> None:
    took_s = await asyncio.gather(*map(terminate, three.instances))
    assert max(took_s) < 4
    for instance in three.instances:
        instance.start()
    await three.until_voters(3, seen_by=three.instances)


async def test_a_second_signal_cuts_the_leaving_short(three: Any) -> None:
    leaver = await leader_of(three)
    os.kill(leaver.pid, signal.SIGTERM)

    async def not_ready() -> bool:
        return not (await three.get(leaver, "/ready"))["ready"]

    await three.until("its readiness is red", not_ready, within_s=1)
    assert await terminate(leaver) < 3
    body = await three.get(next(i for i in three.instances if i is not leaver), "/v1/cluster")
    assert 3 == len(body["members"])


async def test_the_journal_tells_why_the_members_are_as_they_are(three: Any) -> None:
    leader = await leader_of(three)
    command = [sys.executable, "-m", "formal_cluster", "status", "--url", leader.url, "--journal"]
    shown = await asyncio.to_thread(
        subprocess.run, [*command, "--json"], capture_output=True, check=True
    )
    entries = json.loads(shown.stdout)["journal"]
    founded = [e for e in entries if (e["planner"], e["step"]) == ("formation", "Found")]
    added = [e for e in entries if (e["step"], e["outcome"]) == ("AddLearner", "done")]
    promoted = [e for e in entries if (e["step"], e["outcome"]) == ("Promote", "done")]
    assert (1, 2, 2) == (len(founded), len(added), len(promoted))
    shown = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=True)
    assert b"AddLearner" in shown.stdout
