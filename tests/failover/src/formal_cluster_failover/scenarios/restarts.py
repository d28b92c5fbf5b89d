"""The whole service stops and starts again."""

from __future__ import annotations

from formal_cluster_failover.instance import Instance
from formal_cluster_failover.run import Run
from formal_cluster_failover.scenario import Scenarios

SCENARIOS = Scenarios()


async def _stop_all(run: Run, instances: list[Instance]) -> None:
    async with run.timed("all have stopped"):
        for instance in instances:
            instance.ask_to_stop()
        for instance in instances:
            await run.until_ended(instance)


@SCENARIOS.add("restart", "the whole service restarts, disks and addresses kept")
async def same_addresses(run: Run) -> None:
    """It is the same cluster, with all it knew."""
    instances = await run.cluster(3)
    await _stop_all(run, instances)
    async with run.fault("all are started again", instances, within_s=90):
        for instance in instances:
            instance.start()
    await run.until_members(instances, voters=3)


@SCENARIOS.add("restart-killed", "the whole service loses power, disks and addresses kept")
async def after_kill(run: Run) -> None:
    """As before, without a chance to say goodbye."""
    instances = await run.cluster(3)
    for instance in instances:
        instance.kill()
    async with run.fault("all are started again", instances, within_s=90):
        for instance in instances:
            instance.start()
    await run.until_members(instances, voters=3)


@SCENARIOS.add("restart-moved", "the whole service restarts, disks kept, all addresses new")
async def new_addresses(run: Run) -> None:
    """What the disks hold is carried over to where the instances are now."""
    old = await run.cluster(3)
    await _stop_all(run, old)
    for instance in old:
        run.service.vouch(instance)
    new = [run.service.make(disk_of=instance) for instance in old]
    async with run.timed("all are clustered, and have their place"):
        for instance in new:
            instance.start()
        await run.until_members(new, voters=3, within_s=120)
    for instance in new:
        run.recorder.add(instance)
    await run.until_right(new, within_s=30)
