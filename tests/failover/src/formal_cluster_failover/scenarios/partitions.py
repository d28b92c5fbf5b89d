"""The network between the instances is cut; clients and the platform reach all of them."""

from __future__ import annotations

import asyncio

from formal_cluster_failover.instance import Instance
from formal_cluster_failover.run import Run, Target
from formal_cluster_failover.scenario import SANDBOX, Scenarios

SCENARIOS = Scenarios()
_SETTLED_S = 5.0
_CUT_FOR_S = 10.0


async def _cut_off(
    run: Run, instances: list[Instance], cut: list[Instance], target: Target
) -> None:
    """Separate `cut` from the rest, which goes on; then heal the network."""
    rest = [instance for instance in instances if instance not in cut]
    async with run.fault(f"{len(cut)} of {len(instances)} are cut off", rest, target):
        run.service.bed.cut([instance.place for instance in cut])
    await asyncio.sleep(_SETTLED_S)
    await run.stays_refused(cut, for_s=_CUT_FOR_S)
    async with run.fault("the network heals", instances):
        run.service.bed.heal()


@SCENARIOS.add("partition-leader", "the leader is cut off, then back", needs=SANDBOX, quick=True)
async def leader(run: Run) -> None:
    """The others elect a new one; the old one refuses strict hits."""
    instances = await run.cluster(3)
    await _cut_off(run, instances, [await run.leader()], Target(strict_s=5.0))
    await run.until_members(instances, voters=3)


@SCENARIOS.add("partition-minority", "two followers of five are cut off, then back", needs=SANDBOX)
async def minority(run: Run) -> None:
    """The majority goes on."""
    run.service.store += "voters = 5\n"
    instances = await run.cluster(5)
    cut = (await run.followers())[:2]
    await _cut_off(run, instances, cut, Target(eventual_s=0.0, strict_s=1.0))
    await run.until_members(instances, voters=5)


@SCENARIOS.add("partition-everyone", "everyone is cut off from everyone, then back", needs=SANDBOX)
async def everyone(run: Run) -> None:
    """Nobody admits a strict hit; nobody founds a cluster of its own."""
    instances = await run.cluster(3)
    run.service.bed.cut(*([instance.place] for instance in instances))
    await asyncio.sleep(_SETTLED_S)
    await run.stays_refused(instances, for_s=15)
    async with run.fault("the network heals", instances):
        run.service.bed.heal()
    await run.until_members(instances, voters=3)
