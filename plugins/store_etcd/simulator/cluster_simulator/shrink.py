"""Finds a shorter schedule that fails in the same way."""

from __future__ import annotations

import re
from dataclasses import replace

from cluster_simulator.faults import Action
from cluster_simulator.planners import Planners
from cluster_simulator.schedule import Schedule
from cluster_simulator.trial import run

_NAMES = re.compile(r"[0-9a-f]{8}|\bi\d+\b|\[.*|\d+")
MOST_TRIALS = 3_000


def shortest(schedule: Schedule, planners: Planners, wrong: str) -> Schedule:
    """The schedule without each action that it can do without; the quiet times as short."""
    trials = _Trials(schedule, planners, wrong)
    kept, size = list(schedule.actions), max(1, len(schedule.actions) // 2)
    while size:
        start, shorter_at_all = 0, False
        while start < len(kept):
            shorter = kept[:start] + kept[start + size :]
            if trials.fails(shorter):
                kept, shorter_at_all = shorter, True
            else:
                start += size
        if not shorter_at_all or size > 1:
            size //= 2
    for index, action in enumerate(kept):
        if action.kind in ("calm", "wait"):
            for dice in range(1, min(action.dice, 16)):
                briefer = [*kept[:index], Action(action.kind, 0, dice), *kept[index + 1 :]]
                if trials.fails(briefer):
                    kept = briefer
                    break
    return replace(schedule, actions=tuple(kept))


class _Trials:
    def __init__(self, schedule: Schedule, planners: Planners, wrong: str) -> None:
        self._schedule, self._planners = schedule, planners
        self._wrong = _NAMES.sub("", wrong)
        self._left = MOST_TRIALS

    def fails(self, actions: list[Action]) -> bool:
        """Whether these actions alone are wrong in the same way."""
        if not self._left:
            return False
        self._left -= 1
        shorter = replace(self._schedule, actions=tuple(actions))
        wrong = run(shorter, self._planners).wrong
        return wrong is not None and _NAMES.sub("", wrong) == self._wrong
