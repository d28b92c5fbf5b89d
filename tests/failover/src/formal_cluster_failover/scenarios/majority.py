"""A majority of the voters is lost at once."""

from __future__ import annotations

import asyncio

from formal_cluster_failover.instance import Instance
from formal_cluster_failover.run import DidNotHold, Run, Target
from formal_cluster_failover.scenario import Scenarios

SCENARIOS = Scenarios()
_RECOVERED = Target(strict_s=20.0)
_WITHOUT_PROOF_S = 25.0


async def _lose_two(run: Run) -> tuple[Instance, list[Instance]]:
    """The leader and a follower of three are to be lost; who is left, and they."""
    await run.cluster(3)
    leader = await run.leader()
    survivor, other = await run.followers()
    return survivor, [leader, other]


@SCENARIOS.add(
    "majority-with-proof",
    "two of three are killed at once; the platform vouches for it",
    quick=True,
)
async def with_proof(run: Run) -> None:
    """The survivor's copy becomes a new cluster, and the two are replaced."""
    survivor, lost = await _lose_two(run)
    async with run.fault("two of three are killed", [survivor], _RECOVERED, within_s=90):
        for instance in lost:
            instance.kill()
        for instance in lost:
            run.service.vouch(instance)
    new = run.service.launch(2)
    await run.until_members([survivor, *new], voters=3)
    for instance in new:
        run.recorder.add(instance)
    await run.until_right([survivor, *new], within_s=20)


@SCENARIOS.add("majority-without-proof", "two of three are killed at once; nobody vouches for it")
async def without_proof(run: Run) -> None:
    """No strict hit is admitted, and the instance says what to do, until the proof is there."""
    survivor, lost = await _lose_two(run)
    for instance in lost:
        instance.kill()
    await asyncio.sleep(5)
    await run.stays_refused([survivor], for_s=_WITHOUT_PROOF_S)
    ready, body = await run.client.ready(survivor)
    if not (ready and body["state"] == "degraded" and body["reason"]):
        raise DidNotHold(f"without a quorum, /ready says {body}")
    run.notes.append(f"Meanwhile it said: {body['reason']}")
    async with run.fault("the platform vouches for it", [survivor], _RECOVERED, within_s=90):
        for instance in lost:
            run.service.vouch(instance)


@SCENARIOS.add(
    "majority-returns", "two of three are killed at once and come back, with their disks"
)
async def returns(run: Run) -> None:
    """The same cluster goes on."""
    survivor, lost = await _lose_two(run)
    for instance in lost:
        instance.kill()
    await asyncio.sleep(10)
    async with run.fault("the two are started again", [survivor, *lost], within_s=60):
        for instance in lost:
            instance.start()
    await run.until_members(run.running, voters=3)
