"""Processes are killed with SIGKILL, and a majority of the voters lives."""

from __future__ import annotations

from formal_cluster_failover.instance import Instance
from formal_cluster_failover.run import Run, Target
from formal_cluster_failover.scenario import Scenarios

SCENARIOS = Scenarios()
FOLLOWER = Target(eventual_s=0.0, strict_s=1.0)
LEADER = Target(strict_s=5.0)
JOINED = Target(took_s=15.0)


async def replace(run: Run, lost: Instance, watch: list[Instance]) -> Instance:
    """The platform vouches for a death and starts another instance in its place."""
    run.service.vouch(lost)
    async with run.fault("it is replaced by an instance with an empty disk", watch):
        async with run.timed("the new instance is a synced member", JOINED):
            (new,) = run.service.launch()
            await run.until_member(new, watch)
        run.recorder.add(new)
    await run.until_right([*watch, new], within_s=20)
    return new


def _others(instances: list[Instance], lost: Instance) -> list[Instance]:
    return [instance for instance in instances if instance is not lost]


@SCENARIOS.add("kill-follower", "kill −9 of a follower, then its replacement")
async def follower(run: Run) -> None:
    """Nothing but its own requests is disturbed."""
    instances = await run.cluster(3)
    (victim, _) = await run.followers()
    rest = _others(instances, victim)
    async with run.fault("a follower is killed", rest, FOLLOWER):
        victim.kill()
    await replace(run, victim, rest)
    await run.until_members(run.running, voters=3)


@SCENARIOS.add("kill-leader", "kill −9 of the leader, then its replacement")
async def leader(run: Run) -> None:
    """The others elect a new one."""
    instances = await run.cluster(3)
    victim = await run.leader()
    rest = _others(instances, victim)
    async with run.fault("the leader is killed", rest, LEADER):
        victim.kill()
    await replace(run, victim, rest)
    await run.until_members(run.running, voters=3)


@SCENARIOS.add("kill-python", "kill −9 of the leader's Python alone")
async def python_alone(run: Run) -> None:
    """Its etcd goes with it; the instance is started again, with its disk."""
    instances = await run.cluster(3)
    victim = await run.leader()
    rest = _others(instances, victim)
    async with run.fault("the leader's Python is killed", rest, LEADER):
        victim.kill_python()
    async with run.timed("started again, it is a synced member", JOINED):
        victim.start()
        await run.until_member(victim, rest)
    await run.until_members(instances, voters=3)
    await run.until_right(instances, within_s=20)


@SCENARIOS.add("kill-etcd", "kill −9 of the leader's etcd alone")
async def etcd_alone(run: Run) -> None:
    """Its supervisor starts it again; that instance goes on as a client of the others."""
    instances = await run.cluster(3)
    victim = await run.leader()
    async with run.fault("the leader's etcd is killed", instances, LEADER):
        victim.kill_etcd()
    await run.until_members(instances, voters=3)


@SCENARIOS.add("kill-learner-of-two", "one of two is killed: the learner")
async def learner_of_two(run: Run) -> None:
    """The voter goes on as if nothing had happened."""
    voter, learner_ = await _pair(run)
    async with run.fault("the learner is killed", [voter], FOLLOWER):
        learner_.kill()
    await replace(run, learner_, [voter])
    await run.until_members(run.running, voters=1, learners=1)


@SCENARIOS.add("kill-voter-of-two", "one of two is killed: the voter; the platform vouches for it")
async def voter_of_two(run: Run) -> None:
    """The hot standby's copy becomes a new cluster."""
    voter, learner_ = await _pair(run)
    async with run.fault("the voter is killed", [learner_], Target(strict_s=20.0)):
        voter.kill()
        run.service.vouch(voter)
    (new,) = run.service.launch()
    await run.until_members([learner_, new], voters=1, learners=1)
    run.recorder.add(new)
    await run.until_right([learner_, new], within_s=20)


async def _pair(run: Run) -> tuple[Instance, Instance]:
    instances = run.service.launch(2)
    await run.until_members(instances, voters=1, learners=1)
    await run.record(instances)
    voter = await run.leader()
    (learner_,) = _others(instances, voter)
    return voter, learner_
