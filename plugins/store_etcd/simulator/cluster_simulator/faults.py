"""What may happen to instances, links and discovery, and what clients do: the actions.

An action names whom it is about by a number, taken modulo how many there are, and brings its own
dice: so a schedule stays meaningful when actions are left out of it. One that makes no sense where
it comes does nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

from cluster_simulator import etcd, supervisor, watching
from cluster_simulator.checks import check_now
from cluster_simulator.discovery import Mode, Outlook
from cluster_simulator.disk import Disk
from cluster_simulator.process import boot, bury, kill
from cluster_simulator.world import Node, World

STEP_S = 0.02
MOST_INSTANCES = 110


class Action(NamedTuple):
    """One entry of a schedule."""

    kind: str
    who: int = 0
    dice: int = 0


def act(world: World, action: Action) -> None:
    """Let it happen, and check what must hold."""
    node = world.nodes[action.who % len(world.nodes)]
    world.now += STEP_S
    if world.journal is not None and action.kind not in QUIET:
        world.journal.append(f"{world.now:8.1f} s  ── {action.kind} {node.id} ({action.dice})")
    ACTIONS[action.kind](world, node, action.dice)
    check_now(world)


def calm(world: World, rounds: int, pace_s: float = 1.0) -> None:
    """Time in which everyone gets to do all that they want to do."""
    for _ in range(rounds):
        for node in world.nodes:
            supervisor.finish_round(world, node, node.index)
        check_now(world)
        pass_time(world, pace_s, in_touch=True)


def pass_time(world: World, seconds: float, *, in_touch: bool = False) -> None:
    """Some time, in which the etcds keep in touch, and the instances too if it is said."""
    world.now += seconds
    for node, _ in sorted(world.running, key=lambda at: not at[1].leads):
        etcd.beat(world, node)
    if in_touch:
        for node in world.nodes:
            if node.acts:
                watching.announce(world, node)
    for _, replica in world.running:
        if replica.leads:
            etcd.expire(world, replica)


def _run(world: World, node: Node, dice: int) -> None:
    supervisor.run(world, node, dice)


def _turn(world: World, node: Node, dice: int) -> None:
    supervisor.finish_round(world, node, dice)


def _beat(world: World, node: Node, _: int) -> None:
    etcd.beat(world, node)


def _calm(world: World, _: Node, dice: int) -> None:
    calm(world, dice)


def _wait(world: World, _: Node, dice: int) -> None:
    pass_time(world, dice)


def _write(world: World, node: Node, dice: int) -> None:
    if node.replica is not None and node.acts:
        etcd.write(
            world, node, node.replica, lambda member: dice % 3 == 0 or dice >> member % 8 & 1 == 1
        )


def _crash(world: World, node: Node, _: int) -> None:
    kill(world, node)


def _crash_etcd(_: World, node: Node, __: int) -> None:
    if node.etcd:
        etcd.end(node)


def _boot(world: World, node: Node, _: int) -> None:
    boot(world, node)


def _pause(_: World, node: Node, __: int) -> None:
    node.paused = node.up


def _resume(_: World, node: Node, __: int) -> None:
    node.paused = False


def _cut(world: World, node: Node, dice: int) -> None:
    """Nothing that it sends to another arrives; mostly the other way neither."""
    other = dice // 4 % len(world.nodes)
    world.cut.add((node.index, other))
    if dice % 4:
        world.cut.add((other, node.index))


def _heal(world: World, node: Node, dice: int) -> None:
    other = dice // 4 % len(world.nodes)
    world.cut -= {(node.index, other), (other, node.index)}


def _split(world: World, _: Node, dice: int) -> None:
    """Two groups, neither of which hears the other, or only one of which does."""
    sides = random.Random(dice)
    group = {node.index for node in world.nodes if sides.random() < 0.5}
    both = sides.random() < 0.7
    for one in world.nodes:
        for other in world.nodes:
            if one.index in group and other.index not in group:
                world.cut.add((one.index, other.index))
                if both:
                    world.cut.add((other.index, one.index))


def _heal_all(world: World, _: Node, __: int) -> None:
    world.cut.clear()


def _lose_disk(_: World, node: Node, __: int) -> None:
    if not node.up:
        node.disk = Disk()


def _move(world: World, node: Node, _: int) -> None:
    """It is stopped, and comes back with its disk at another address."""
    if not node.alive:
        return
    kill(world, node)
    node.address = new_address(world)
    node.record.addresses.append((world.now, node.address))
    boot(world, node)


def _die(world: World, node: Node, dice: int) -> None:
    """Its end; the platform vouches for it at once, after a while, or never by itself."""
    if node.alive and len(world.living) > 1:
        bury(world, node, proven_after_s=(0.0, 1.0, 10.0, 60.0, None)[dice % 5])


def _forget(world: World, node: Node, _: int) -> None:
    if not node.alive:
        node.record.forgotten_at = world.now


def _add(world: World, node: Node, dice: int) -> None:
    """A new instance. If `node` is dead, it may take over its address."""
    if len(world.living) >= MOST_INSTANCES or len(world.nodes) >= 3 * world.setting.size + 6:
        return
    free = not node.alive and node.address not in world.at and dice % 2 == 0
    taken = any(other.alive and other.address == node.address for other in world.nodes)
    address = node.address if free and not taken else new_address(world)
    boot(world, world.add(address=address, disk=Disk(), born_at=world.now))


def _replace(world: World, node: Node, dice: int) -> None:
    """It dies, and another one comes in its place."""
    if node.alive:
        bury(world, node, proven_after_s=(0.0, 1.0, 10.0, 60.0)[dice % 4])
        _add(world, node, dice // 4)


def _sigterm(world: World, node: Node, _: int) -> None:
    supervisor.begin_to_leave(world, node)


def _discovery(_: World, node: Node, dice: int) -> None:
    modes = list(Mode)
    _look_out(node, Outlook(modes[dice % len(modes)], random.Random(dice)))


def _doubt(_: World, node: Node, dice: int) -> None:
    """The platform is less sure than before, or sure again."""
    _look_out(node, Outlook((Mode.SOUND, Mode.DOUBTFUL)[dice % 2], random.Random(dice)))


def _look_out(node: Node, outlook: Outlook) -> None:
    node.outlook = outlook
    node.memory.views.asked_at = float("-inf")  # it is asked the next time it is needed


def new_address(world: World) -> str:
    """One that nobody has had."""
    number = world.number()
    return f"10.0.{number // 256}.{number % 256}"


ACTIONS: dict[str, Callable[[World, Node, int], None]] = {
    "run": _run,
    "turn": _turn,
    "beat": _beat,
    "calm": _calm,
    "wait": _wait,
    "write": _write,
    "crash": _crash,
    "crash etcd": _crash_etcd,
    "boot": _boot,
    "pause": _pause,
    "resume": _resume,
    "cut": _cut,
    "heal": _heal,
    "split": _split,
    "heal all": _heal_all,
    "lose disk": _lose_disk,
    "move": _move,
    "die": _die,
    "forget": _forget,
    "add": _add,
    "replace": _replace,
    "sigterm": _sigterm,
    "discovery": _discovery,
    "doubt": _doubt,
}
QUIET = ("run", "turn", "beat")
