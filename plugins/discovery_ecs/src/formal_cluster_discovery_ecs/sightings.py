"""What many reads of ECS together prove about each task, and the view they add up to. Pure.

ECS answers from copies that lag behind each other, and it forgets a stopped task after about an
hour. So no single answer decides that an instance is dead:

- An answer about a task that is older than one already seen changes nothing.
- A task counts as stopped once two reads, a margin apart, say so and none in between denies it.
  Until then it is unknown. It stays stopped: no task of ECS ever comes back.
- A task that ECS does not know (any more) and that was not seen to stop is unknown. Absence
  proves nothing, however long it lasts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from formal_cluster.model import Instance, InstanceState, View
from formal_cluster_discovery_ecs.tasks import Task

_REMEMBER_S = 24 * 3600.0
_REMEMBER_AT_MOST = 1_000
_UNHEALTHY = "UNHEALTHY"
_NO_PROCESS = {InstanceState.STARTING, InstanceState.STOPPED}


@dataclass(frozen=True, slots=True)
class Sighting:
    """What is known of one task.

    Attributes:
        task: Its newest description.
        seen_at: When ECS last described it. The clock is the caller's; only differences count.
        stopped_since: When the first of the agreeing reads said that it has stopped.
        dead: Whether enough reads agreed.
        missing: Whether ECS did not know it when it was last asked.
    """

    task: Task
    seen_at: float
    stopped_since: float | None = None
    dead: bool = False
    missing: bool = False

    @property
    def state(self) -> InstanceState:
        """What may be said of the instance."""
        if self.dead:
            return InstanceState.STOPPED
        if self.missing or self.stopped_since is not None:
            return InstanceState.UNKNOWN
        return self.task.state


Sightings = Mapping[str, Sighting]
"""By task ARN."""


@dataclass(frozen=True, slots=True)
class Read:
    """One complete read of ECS.

    Attributes:
        listed: The ARNs of the service's tasks, running and stopped.
        described: Of those asked for, the ones that ECS described.
        missing: … and the ones that it did not know.
    """

    listed: frozenset[str]
    described: Sequence[Task]
    missing: frozenset[str] = frozenset()


def to_describe(known: Sightings, listed: Iterable[str]) -> list[str]:
    """The tasks to ask about: listed or seen before, except for those known to be dead.

    One that was seen before and is not listed any more may have stopped, or the list lags.
    """
    return sorted({*listed, *known} - {arn for arn, seen in known.items() if seen.dead})


def update(known: Sightings, read: Read, *, now: float, margin_s: float) -> dict[str, Sighting]:
    """What is known after one more read."""
    after = dict(known)
    for task in read.described:
        after[task.arn] = _seen(known.get(task.arn), task, now, margin_s)
    for arn in read.missing & after.keys():
        after[arn] = replace(after[arn], missing=True)
    return _without_the_forgotten(after, read.listed, now)


def view(known: Sightings, read: Read, me: Instance) -> tuple[View, Sequence[str]]:
    """The instances, and what keeps the view from being complete.

    A task that starts and has no address yet has no process either, and is no instance. One that
    may run without an address that ECS tells is an instance that cannot be shown. A dead one is
    shown in any case, if need be with an empty address: nobody has to reach it, its id is the
    evidence.
    """
    gaps = [f"ECS lists {arn} but does not know it" for arn in sorted(read.missing - known.keys())]
    instances = {}
    for arn, seen in known.items():
        if seen.dead or seen.task.address is not None:
            instances[arn] = _instance(seen)
        elif seen.task.state not in _NO_PROCESS:
            gaps.append(f"{arn} has no address of its own (is it in network mode awsvpc?)")
    if me.id not in read.listed:
        gaps.append("ECS does not list this task itself (yet)")
    # What ECS says of this process is older than what the process knows: that it runs, and where.
    mine = instances.get(me.id, me)
    instances[me.id] = replace(mine, state=InstanceState.RUNNING, address=me.address)
    return View(tuple(instances[arn] for arn in sorted(instances)), complete=not gaps), gaps


def newly_dead(before: Sightings, after: Sightings) -> list[Task]:
    """The tasks that the last read proved dead."""
    known = {arn for arn, seen in before.items() if seen.dead}
    return [seen.task for arn, seen in sorted(after.items()) if seen.dead and arn not in known]


def newly_unhealthy(before: Sightings, after: Sightings) -> list[Task]:
    """The tasks whose containers' health checks have begun to fail."""
    known = {arn for arn, seen in before.items() if seen.task.health == _UNHEALTHY}
    return [
        seen.task
        for arn, seen in sorted(after.items())
        if seen.task.health == _UNHEALTHY and arn not in known
    ]


def _seen(before: Sighting | None, task: Task, now: float, margin_s: float) -> Sighting:
    if before is None:
        return Sighting(task, now, stopped_since=now if _is_stopped(task) else None)
    if before.dead or task.version < before.task.version:
        return before
    task = replace(task, address=task.address or before.task.address)
    if not _is_stopped(task):
        return Sighting(task, now)
    if before.stopped_since is None:
        return Sighting(task, now, stopped_since=now)
    is_enough = now - before.stopped_since >= margin_s
    return Sighting(task, now, stopped_since=before.stopped_since, dead=is_enough)


def _is_stopped(task: Task) -> bool:
    return task.state is InstanceState.STOPPED


def _without_the_forgotten(
    known: Mapping[str, Sighting], listed: Collection[str], now: float
) -> dict[str, Sighting]:
    """Without tasks that ECS stopped to mention long ago: they would pile up with each deployment.

    What is not listed is kept for a day, and no more of it than a bounded number.
    """
    gone = [seen for arn, seen in known.items() if arn not in listed]
    gone.sort(key=lambda seen: seen.seen_at)
    kept = [seen for seen in gone[-_REMEMBER_AT_MOST:] if now - seen.seen_at < _REMEMBER_S]
    forgotten = {seen.task.arn for seen in gone} - {seen.task.arn for seen in kept}
    return {arn: seen for arn, seen in known.items() if arn not in forgotten}


def _instance(seen: Sighting) -> Instance:
    task = seen.task
    return Instance(
        task.arn,
        task.address or "",
        seen.state,
        started_at=task.created_at,
        zone=task.zone,
        generation=task.generation,
    )
