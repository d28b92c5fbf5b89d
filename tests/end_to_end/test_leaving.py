"""SIGTERM: an instance hands over and stops while the others, and it itself, go on deciding."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from typing import Any

import aiohttp
import pytest

pytestmark = [pytest.mark.etcd, pytest.mark.slow, pytest.mark.timeout(900)]


class Traffic:
    """Strict accesses through one instance, each of a new user, so that each must be allowed."""

    def __init__(self, site: Any, instance: Any) -> None:
        self.site = site
        self.instance = instance
        self.allowed = 0
        self.refused: list[str] = []

    async def run(self) -> None:
        for number in range(1_000_000):
            user = f"{self.instance.name}-{number}"
            action = await self.site.access(self.instance, user, table="ledger")
            if action == "allow":
                self.allowed += 1
            else:
                self.refused.append(user)
            await asyncio.sleep(0.01)


async def terminate(instance: Any) -> None:
    """SIGTERM; until it has exited with status 0."""
    assert 0 == await asyncio.to_thread(instance.terminate)


def left_because(instance: Any) -> str:
    """What ended its leaving, as its log has it."""
    lines = map(json.loads, instance.log.read_text().splitlines())
    *_, last = (line for line in lines if line.get("planner") == "leaving")
    return str(last["evidence"])


async def leader_of(site: Any) -> Any:
    leader = (await site.get(site.instances[0], "/v1/cluster"))["leader"]
    return next(instance for instance in site.instances if instance.name == leader)


async def test_strict_decisions_go_on_everywhere_while_the_leader_leaves(three: Any) -> None:
    leaver = await leader_of(three)
    stay = [instance for instance in three.instances if instance is not leaver]
    traffic = {instance.name: Traffic(three, instance) for instance in three.instances}
    running = {name: asyncio.create_task(each.run()) for name, each in traffic.items()}

    async def all_decide() -> bool:
        return min(each.allowed for each in traffic.values()) > 5

    await three.until("strict decisions everywhere", all_decide)
    leaving = asyncio.create_task(terminate(leaver))

    async def not_ready() -> bool:
        return not (await three.get(leaver, "/ready"))["ready"]

    await three.until("its readiness is red", not_ready)
    allowed_when_red = traffic[leaver.name].allowed
    await leaving
    with pytest.raises(aiohttp.ClientError):
        await running.pop(leaver.name)
    await three.until_voters(2, seen_by=stay)
    for task in running.values():
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    assert [[], [], []] == [each.refused for each in traffic.values()]
    assert traffic[leaver.name].allowed > allowed_when_red


async def test_all_are_told_to_stop_at_once_and_none_waits_for_another(three: Any) -> None:
    await asyncio.gather(*map(terminate, three.instances))
    assert not [i.name for i in three.instances if "not been removed within" in left_because(i)]
    for instance in three.instances:
        instance.start()
    await three.until_voters(3, seen_by=three.instances)


async def test_a_second_signal_cuts_the_leaving_short(three: Any) -> None:
    leaver = await leader_of(three)
    others = [instance for instance in three.instances if instance is not leaver]
    for instance in others:  # else they would remove it, soon or late
        os.kill(instance.pid, signal.SIGSTOP)
    os.kill(leaver.pid, signal.SIGTERM)

    async def not_ready() -> bool:
        return not (await three.get(leaver, "/ready"))["ready"]

    await three.until("its readiness is red", not_ready)
    await terminate(leaver)
    assert "waiting until its member is removed" == left_because(leaver)
    for instance in others:
        os.kill(instance.pid, signal.SIGCONT)
    body = await three.get(others[0], "/v1/cluster")
    assert 3 == len(body["members"])


async def test_the_journal_tells_why_the_members_are_as_they_are(three: Any) -> None:
    def shown_by(instance: Any, *options: str) -> bytes:
        command = [sys.executable, "-m", "formal_cluster", "status", "--url", instance.url]
        done = subprocess.run([*command, "--journal", *options], capture_output=True, check=True)
        return done.stdout

    # Each tells what it decided itself, and the leader may have been another one meanwhile.
    told = [await asyncio.to_thread(shown_by, each, "--json") for each in three.instances]
    journals = [json.loads(each)["journal"] for each in told]
    entries = [entry for journal in journals for entry in journal]
    founded = [e for e in entries if (e["planner"], e["step"]) == ("formation", "Found")]
    added = [e for e in entries if (e["step"], e["outcome"]) == ("AddLearner", "done")]
    promoted = [e for e in entries if (e["step"], e["outcome"]) == ("Promote", "done")]
    assert (1, 2, 2) == (len(founded), len(added), len(promoted))
    who = next(i for i, j in zip(three.instances, journals, strict=True) if added[0] in j)
    assert b"AddLearner" in await asyncio.to_thread(shown_by, who)
