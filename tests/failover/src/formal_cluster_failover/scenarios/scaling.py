"""Instances come and go, as a deployment or an autoscaler makes them."""

from __future__ import annotations

from formal_cluster_failover.instance import Instance
from formal_cluster_failover.run import Run, Target, odd
from formal_cluster_failover.scenario import Scenarios

SCENARIOS = Scenarios()
_CAP = 5
_GRACE_S = 30.0
"""What ECS and Kubernetes give by default between SIGTERM and SIGKILL."""
_LEFT = Target(eventual_s=0.0, strict_s=5.0)


async def _leave(run: Run, leaver: Instance) -> None:
    """The platform stops an instance: SIGTERM, then, when it has ended, proof of its end."""
    rest = [instance for instance in run.running if instance is not leaver]

    async def gets_no_more_requests() -> bool:
        return not leaver.running or not (await run.client.ready(leaver))[0]

    run.service.stopping(leaver)
    async with run.fault(f"one of {len(rest) + 1} is told to stop", rest, _LEFT):
        async with run.timed("it has ended", Target(took_s=_GRACE_S)):
            leaver.ask_to_stop()
            await run.until(f"{leaver.name} is not ready", gets_no_more_requests, within_s=3)
            await run.until_ended(leaver, within_s=_GRACE_S)
        run.service.vouch(leaver)


async def _arrive(run: Run) -> Instance:
    """One more instance, until everyone has the place that so many instances give them."""
    present = run.running
    size = len(present) + 1
    async with run.fault(f"one more than {len(present)} starts", present):
        async with run.timed("everyone has their place"):
            (new,) = run.service.launch()
            await run.until_members(
                [*present, new], voters=min(odd(size), _CAP), learners=int(size == 2)
            )
        run.recorder.add(new)
    await run.until_right([*present, new], within_s=20)
    return new


@SCENARIOS.add("scale", "scale 1 → 5 → 1")
async def scale(run: Run) -> None:
    """With up to five voters; at two there is one voter and one learner."""
    run.service.store += f"voters = {_CAP}\n"
    await run.cluster(1)
    for _ in range(4):
        await _arrive(run)
    while len(run.running) > 1:
        await _leave(run, await run.leader())


@SCENARIOS.add("rolling", "rolling replacement of all: new addresses, empty disks")
async def rolling(run: Run) -> None:
    """The old instances stop one by one, each after a new one has started."""
    for old in await run.cluster(3):
        present = run.running
        async with run.fault(f"one more than {len(present)} starts", present):
            async with run.timed("it is clustered"):
                (new,) = run.service.launch()
                await run.until_members([*present, new], voters=3)
            run.recorder.add(new)
        await run.until_right([*present, new], within_s=20)
        await _leave(run, old)
        await run.until_members(run.running, voters=3)


@SCENARIOS.add("sigterm-all-but-one", "SIGTERM of all but one, in turn")
async def all_but_one(run: Run) -> None:
    """The last one has all that they knew, and goes on alone."""
    await run.cluster(3)
    while len(run.running) > 1:
        await _leave(run, await run.leader())
