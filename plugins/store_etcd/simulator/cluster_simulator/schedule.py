"""Draws a schedule from a seed: who there is, and what happens in which order.

Each schedule has its own climate: the kinds of faults that happen at all, and how often. Where all
kinds happen all the time, nothing else gets done between them.
"""

from __future__ import annotations

import random
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
    """All that a trial needs."""

    setting: Setting
    actions: tuple[Action, ...]


def draw(seed: int) -> Schedule:
    """The schedule of a seed."""
    dice = random.Random(seed)
    size = _draw_size(dice)
    climate = dice.sample(sorted(FAULTS), dice.choice((1, 2, 2, 3, 3, 4, 6)))
    by_majority = not CHANGING.intersection(climate) and dice.random() < 0.5
    setting = Setting(
        size=size,
        formation=steps.Rules(
            stable_s=STABLE_S,
            deadline_s=dice.choice((0.0, 5.0)) if by_majority else float("inf"),
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
    return Schedule(setting, tuple(_draw_actions(dice, size, climate)))


def _draw_size(dice: random.Random) -> int:
    if dice.random() < 0.003:
        return dice.choice((50, 100))
    if dice.random() < 0.03:
        return dice.randint(8, 20)
    return dice.choice((1, 2, 2, 2, 3, 3, 3, 3, 3, 3, 4, 4, 5, 5, 5, 6, 7))


def _draw_actions(dice: random.Random, size: int, climate: list[str]) -> list[Action]:
    kinds = [kind for name in climate for kind in FAULTS[name]]
    fault_rate = dice.choice((0.01, 0.03, 0.1))
    fine = dice.random() < 0.5
    actions = [Action("boot", n) for n in range(size)]
    if dice.random() < 0.3:
        dice.shuffle(actions)
        del actions[dice.randint(0, size) :]
    if dice.random() < 0.6:
        actions.append(Action("calm", 0, dice.choice((5, 15, 25))))
    many = size + 4
    for _ in range(dice.choice((60, 150, 300)) if size < 10 else 40):
        one, luck = dice.randrange(many), dice.random()
        if luck < fault_rate:
            burst = dice.choice((1, 1, 1, 2, 3)) if size > 1 else 1
            actions += [
                Action(dice.choice(kinds), dice.randrange(many), dice.getrandbits(16))
                for _ in range(burst)
            ]
        elif luck < fault_rate + 0.04:
            actions.append(Action("calm", 0, dice.choice((1, 3, 8))))
        elif luck < fault_rate + 0.10:
            actions.append(Action("wait", 0, dice.choice((1, 1, 3, 10, 30))))
        elif luck < fault_rate + 0.2:
            actions.append(Action("write", one, dice.getrandbits(16)))
        elif luck < fault_rate + 0.35:
            actions.append(Action("beat", one))
        else:
            actions.append(Action("run" if fine else "turn", one, dice.getrandbits(8)))
    return actions
