"""Instances come and go, as a deployment or an autoscaler makes them."""

from __future__ import annotations

from formal_cluster_failover.instance import Instance
from formal_cluster_failover.run import Run, Target
from formal_cluster_failover.scenario import Scenarios
from formal_cluster_failover.scenarios.kills import JOINED

SCENARIOS = Scenarios()
_GRACE_S = 30.0
"""What ECS and Kubernetes give by default between SIGTERM and SIGKILL."""
_LEFT = Target(eventual_s=0.0, strict_s=5.0)


async def _leave(run: Run, leaver: Instance) -> None:
    """The platform stops an instance: SIGTERM, then, when it has ended, proof of its end."""
    rest = [instance for instance in run.running if instance is not leaver]
    run.service.stopping(leaver)
    async with run.fault(f"one of {len(rest) + 1} is told to stop", rest, _LEFT):
        async with run.timed("it has ended", Target(took_s=_GRACE_S)):
            leaver.ask_to_stop()
            await run.until_ended(leaver, within_s=_GRACE_S)
        run.service.vouch(leaver)


async def _arrive(run: Run) -> Instance:
    """One more instance, and it is a member."""
    present = run.running
    async with run.fault(f"one more than {len(present)} starts", present):
        async with run.timed("it is a synced member", JOINED):
            (new,) = run.service.launch()
            await run.until_member(new, present)
        run.recorder.add(new)
    await run.until_right([*present, new], within_s=20)
    return new


@SCENARIOS.add("scale", "scale 1 → 5 → 1")
async def scale(run: Run) -> None:
    """With up to five voters; at two there is one voter and one learner."""
    run.service.store += "voters = 5\n"
    await run.cluster(1)
    for _ in range(4):
        await _arrive(run)
    await run.until_members(run.running, voters=5)
    while len(run.running) > 1:
        await _leave(run, await run.leader())


@SCENARIOS.add("rolling", "rolling replacement of all: new addresses, empty disks")
async def rolling(run: Run) -> None:
    """The old instances stop one by one, each after a new one has started."""
    for old in await run.cluster(3):
        await _start_client_or_member(run)
        await _leave(run, old)
        await run.until_members(run.running, voters=3)


async def _start_client_or_member(run: Run) -> Instance:
    present = run.running
    async with run.fault(f"one more than {len(present)} starts", present):
        (new,) = run.service.launch()

        async def is_clustered() -> bool:
            _, body = await run.client.ready(new)
            return bool(body["state"] == "clustered")

        async with run.timed("it is clustered", JOINED):
            await run.until(f"{new.name} is clustered", is_clustered, within_s=60)
        run.recorder.add(new)
    await run.until_right([*present, new], within_s=20)
    return new


@SCENARIOS.add("sigterm-all-but-one", "SIGTERM of all but one, in turn")
async def all_but_one(run: Run) -> None:
    """The last one has all that they knew, and goes on alone."""
    await run.cluster(3)
    while len(run.running) > 1:
        await _leave(run, await run.leader())
