"""Runs one schedule: its actions, then the end of all faults, and says what was wrong."""

from __future__ import annotations

from dataclasses import dataclass

from cluster_simulator.checks import why_not_settled
from cluster_simulator.discovery import Outlook
from cluster_simulator.disk import Disk
from cluster_simulator.faults import act, calm, new_address
from cluster_simulator.planners import Planners
from cluster_simulator.process import become, boot
from cluster_simulator.schedule import Schedule
from cluster_simulator.world import World

PACES = ((60, 1.0), (40, 5.0), (40, 60.0))
"""Rounds within which everything settles, and how much time passes in each: seconds."""
WAITING_ROUNDS = 30


@dataclass(frozen=True)
class Verdict:
    """How a trial ended.

    Attributes:
        wrong: The first violation; None if there is none.
        journal: What happened, if that was asked for.
    """

    wrong: str | None
    journal: tuple[str, ...] = ()


def run(schedule: Schedule, planners: Planners, *, journal: bool = False) -> Verdict:
    """Run it to its end, or to the first violation."""
    world = World(schedule.setting, planners)
    world.journal = [] if journal else None
    for _ in range(schedule.setting.size):
        world.add(address=new_address(world), disk=Disk(), born_at=-100.0)
    for action in schedule.actions:
        act(world, action)
        if world.wrongs:
            break
    else:
        if schedule.settles:
            _settle(world)
    wrong = world.wrongs[0] if world.wrongs else None
    return Verdict(wrong, tuple(world.journal or ()))


def _settle(world: World) -> None:
    """The faults stop. What needs a proof of death that is missing may wait for it."""
    _note(world, "── the faults stop")
    world.cut.clear()
    for node in world.nodes:
        node.paused = False
        node.outlook = Outlook()
        boot(world, node)
    dead = [node.record for node in world.nodes if not node.alive]
    unproven = [r for r in dead if r.proven_at is None or r.forgotten_at is not None]
    if not world.living:
        return
    if unproven:
        _until_settled(world, ((WAITING_ROUNDS, 1.0),))
        _note(world, "── the platform vouches for the dead, or an operator does")
        forgotten = [record for record in unproven if record.forgotten_at is not None]
        for record in unproven:
            record.proven_at = world.now
        if forgotten:
            _vouch(world)
    why = _until_settled(world, PACES)
    if why is not None and not world.wrongs:
        world.object(f"not settled in the end: {why}")


def _until_settled(world: World, paces: tuple[tuple[int, float], ...]) -> str | None:
    why: str | None = "no time"
    for rounds, pace_s in paces:
        for _ in range(rounds):
            why = why_not_settled(world) if world.living else None  # all may have left
            if why is None or world.wrongs:
                return why
            calm(world, 1, pace_s)
    return why


def _vouch(world: World) -> None:
    """`formal-cluster recover --i-know-the-others-are-dead`, at one instance that has data."""
    holders = [node for node in world.living if node.own.has_data] or world.living
    if not holders:
        return
    node = world.dice.choice(holders)
    become(node, node.own.model_copy(update={"presumed_dead": node.own.epoch + 1}))


def _note(world: World, what: str) -> None:
    if world.journal is not None:
        world.journal.append(f"{world.now:8.1f} s  {what}")
