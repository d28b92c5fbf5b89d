"""Draws a schedule from a seed: who there is, and what happens in which order.

Each schedule has its own climate: the kinds of faults that happen at all, and how often. Where all
kinds happen all the time, nothing else gets done between them.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from cluster_simulator.faults import Action
from cluster_simulator.world import Setting
from formal_cluster_store_etcd.planning import changes, steps

LAG_S, STABLE_S = 1.5, 2.0
FAULTS: dict[str, tuple[str, ...]] = {
    "crashes": ("crash", "boot", "boot"),
    "etcd": ("crash etcd",),
    "pauses": ("pause", "resume", "resume"),
    "links": ("cut", "cut", "heal", "heal all"),
    "partitions": ("split", "heal all"),
    "discovery": ("discovery",),
    "disks": ("crash", "lose disk", "boot"),
    "addresses": ("move",),
    "deaths": ("die", "die", "add"),
    "silent deaths": ("die", "forget"),
    "replacements": ("replace",),
    "scaling": ("add", "sigterm"),
}
CHANGING = {"deaths", "silent deaths", "replacements", "scaling", "disks"}
"""Where founding by a majority is not safe, as `genesis` says."""


@dataclass(frozen=True)
class Schedule:
    """All that a trial needs.

    Attributes:
        settles: Whether the faults stop in the end and everything has to settle. What can only go
            wrong on the way is looked for more often without that.
    """

    setting: Setting
    actions: tuple[Action, ...]
    settles: bool = True


def draw(seed: int) -> Schedule:
    """The schedule of a seed. The kinds follow each other."""
    return KINDS[seed % len(KINDS)](random.Random(seed))


def _draw_any_life(dice: random.Random) -> Schedule:
    """Anything may happen to instances that do anything."""
    size = _draw_size(dice)
    climate = dice.sample(sorted(FAULTS), dice.choice((1, 2, 2, 3, 3, 4, 6)))
    static = not CHANGING.intersection(climate)
    setting = _draw_setting(dice, size, by_majority=static and dice.random() < 0.5)
    return Schedule(setting, tuple(_draw_life(dice, size, climate)))


def _draw_birth(dice: random.Random) -> Schedule:
    """Instances that never change find each other over bad links, and make a cluster."""
    size = dice.choice((1, 2, 3, 3, 3, 3, 4, 5))
    setting = _draw_setting(dice, size, by_majority=dice.random() < 0.8, patience_s=0.0)
    paces = _draw_paces(dice, size)
    kinds = ("cut", "heal", "heal", "heal", *dice.choice(((), FAULTS["crashes"], FAULTS["pauses"])))
    actions = [Action("boot", n) for n in range(size)]
    bad_links = dice.choice((0.2, 0.5, 0.8))
    actions += [
        Action("cut", one, 4 * other + dice.randrange(4))
        for one in range(size)
        for other in range(one)
        if dice.random() < bad_links
    ]
    fault_rate = dice.choice((0.05, 0.2, 0.4))
    for _ in range(dice.choice((20, 40, 60))):
        one = dice.choice(paces)
        if dice.random() < fault_rate:
            actions.append(Action(dice.choice(kinds), one, dice.getrandbits(16)))
        else:
            actions += _draw_work(dice, "run", one)
    return Schedule(setting, tuple(actions), settles=dice.random() < 0.3)


def _draw_disaster(dice: random.Random) -> Schedule:
    """A cluster that works loses many members at once, and the rest is disturbed."""
    size = dice.choice((2, 3, 3, 3, 3, 4, 5, 5, 6))
    setting = _draw_setting(dice, size, by_majority=False)
    actions = [Action("boot", n) for n in range(size)]
    actions.append(Action("calm", 0, dice.choice((8, 15, 30))))
    actions += [_write(dice, size) for _ in range(dice.randint(0, 4))]
    most = size // 2 + 1 if dice.random() < 0.8 else dice.randint(1, size)
    victims = dice.sample(range(size), min(most, size - 1) or 1)
    for victim in victims:
        kind = dice.choice(("die",) * 8 + ("crash", "pause", "lose disk", "move"))
        if kind == "lose disk":
            actions.append(Action("crash", victim))
        actions.append(Action(kind, victim, dice.choice((0, 0, 1, dice.getrandbits(8)))))
        if dice.random() < 0.3:
            actions.append(_write(dice, size))
    added = dice.choice((0, 0, 0, 1, 1, 2))
    actions += [Action("add", 0, dice.getrandbits(8)) for _ in range(added)]
    actions.append(Action("wait", 0, 6))
    if dice.random() < 0.5:
        climate = dice.sample(sorted(FAULTS), dice.choice((1, 2, 3)))
        actions += _draw_disturbances(dice, size, climate, dice.choice((20, 40, 80)))
    else:
        left = [one for one in range(size + added) if one not in victims]
        actions += _draw_relapse(dice, left)
    return Schedule(setting, tuple(actions))


def _draw_relapse(dice: random.Random, left: list[int]) -> list[Action]:
    """While the rest recovers, it is now certain, now not, whether the others are dead."""
    paces = [one for one in left for _ in range(dice.choice((1, 3, 10)))]
    doubts, actions = dice.choice((0.03, 0.1, 0.2)), []
    others = dice.choice((("cut", "heal"), ("pause", "resume"), ("crash", "boot"), ("wait",)))
    for _ in range(dice.choice((30, 60, 120))):
        one, luck = dice.choice(paces), dice.random()
        if luck < doubts:
            actions.append(Action("doubt", one, dice.getrandbits(16)))
        elif luck < doubts + 0.05:
            actions.append(Action(dice.choice(others), one, dice.randrange(64)))
        else:
            actions += _draw_work(dice, "run", one)
    return actions


def _draw_setting(
    dice: random.Random, size: int, *, by_majority: bool, patience_s: float | None = None
) -> Setting:
    return Setting(
        size=size,
        formation=steps.Rules(
            stable_s=STABLE_S if patience_s is None else patience_s,
            deadline_s=(patience_s or 0.0) if by_majority else float("inf"),
            leaderless_s=dice.choice((1.0, 5.0)),
        ),
        membership=changes.Rules(
            voters=dice.choice((3, 3, 3, 5, 7)),
            replace_silent_after_s=20.0,
            stalled_learner_s=20.0,
            shrink_after_s=dice.choice((0.0, 10.0)),
            leaving_settle_s=1.0,
            replace_leaver_within_s=5.0,
        ),
        view_lag_s=LAG_S,
        strict_adds=dice.random() < 0.5,
        grace_s=10.0,
        salt=dice.getrandbits(32),
    )


def _draw_size(dice: random.Random) -> int:
    if dice.random() < 0.003:
        return dice.choice((50, 100))
    if dice.random() < 0.03:
        return dice.randint(8, 20)
    return dice.choice((1, 2, 2, 2, 3, 3, 3, 3, 3, 3, 4, 4, 5, 5, 5, 6, 7))


def _draw_life(dice: random.Random, size: int, climate: list[str]) -> list[Action]:
    actions = [Action("boot", n) for n in range(size)]
    if dice.random() < 0.3:
        dice.shuffle(actions)
        del actions[dice.randint(0, size) :]
    if dice.random() < 0.6:
        actions.append(Action("calm", 0, dice.choice((5, 15, 25))))
    length = dice.choice((30, 70, 120)) if size < 10 else 40
    return actions + _draw_disturbances(dice, size, climate, length)


def _draw_disturbances(
    dice: random.Random, size: int, climate: list[str], length: int
) -> list[Action]:
    kinds = [kind for name in climate for kind in FAULTS[name]] or ["write"]
    fault_rate = dice.choice((0.03, 0.1, 0.2))
    work = dice.choice(("run", "turn"))
    many = size + 4
    paces = _draw_paces(dice, many)
    actions = []
    for _ in range(length):
        one, luck = dice.choice(paces), dice.random()
        if luck < fault_rate:
            actions += [
                Action(dice.choice(kinds), dice.randrange(many), dice.getrandbits(16))
                for _ in range(dice.choice((1, 1, 1, 2, 3)))
            ]
        elif luck < fault_rate + 0.04:
            actions.append(Action("calm", 0, dice.choice((1, 3, 8))))
        elif luck < fault_rate + 0.10:
            actions.append(Action("wait", 0, dice.choice((1, 2, 2, 5, 10, 30))))
        elif luck < fault_rate + 0.2:
            actions.append(_write(dice, many))
        elif luck < fault_rate + 0.35:
            actions.append(Action("beat", one))
        else:
            actions += _draw_work(dice, work, one)
    return actions


def _draw_work(dice: random.Random, kind: str, one: int) -> list[Action]:
    """Some steps without anything in between: in the middle of a round as often as at its end."""
    return [Action(kind, one, dice.getrandbits(8)) for _ in range(dice.choice((1, 2, 3, 5, 8)))]


def _draw_paces(dice: random.Random, many: int) -> list[int]:
    """Each instance as often as it is quick. A slow one acts on what was long ago."""
    return [one for one in range(many) for _ in range(dice.choice((1, 3, 10)))]


def _write(dice: random.Random, many: int) -> Action:
    return Action("write", dice.randrange(many), dice.getrandbits(16))


KINDS: tuple[Callable[[random.Random], Schedule], ...] = (
    _draw_birth,
    _draw_disaster,
    _draw_any_life,
    _draw_any_life,
)
