"""How many accesses get through, and who is blocked wrongly: attackers against three instances.

In real time with a window of two seconds, the same for all, as most contestants take no other
clock than the machine's.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.attackers import ATTACKERS, WINDOWS
from benchmarks.bench import Bars, Effort, Section, Table
from benchmarks.contestant import Contestant
from benchmarks.contestants import chosen
from benchmarks.fleet import Failures, Instance, fleet
from benchmarks.judgement import Decided, most_in_a_window, wrong_denials
from benchmarks.stores import Stores, stores

_INSTANCES = 3
_WINDOW_S = 2
_SUBJECTS = {5: 20, 500: 1}
"""How many subjects each attacker uses, by limit."""
_GIVE_UP_AFTER_S = 3.0


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose accesses belong together."""

    attacker: str
    limit: int
    number: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """One attacker's success with one limit: the worst of its subjects."""

    most: int
    denied: int
    wrongly: int
    decided: int
    asked: int


History = dict[Subject, list[Decided]]
Verdicts = dict[tuple[str, int], Verdict]


def run(effort: Effort) -> Section:
    """Each contestant once, all attackers at the same time."""
    found: dict[str, Verdicts] = {}
    failures = Failures()
    with stores() as running:
        for contestant in chosen(effort, shared=True, few=True):
            with failures.noted(contestant.name):
                found[contestant.name] = judge(_history(contestant, running))
    return Section(
        tables=[_table(limit, found) for limit in _SUBJECTS],
        charts=[_chart(limit, found) for limit in _SUBJECTS],
        markdown=failures.markdown(),
        raw={
            name: {
                f"{attacker}, limit {limit}": [v.most, v.denied, v.wrongly, v.decided, v.asked]
                for (attacker, limit), v in verdicts.items()
            }
            for name, verdicts in found.items()
        },
    )


def _history(contestant: Contestant, running: Stores) -> History:
    with fleet(contestant.name, running, instances=_INSTANCES, window_s=_WINDOW_S) as three:
        # At the beginning of a window of the clock, and not before everybody has prepared.
        start_at = (time.time() + 1) // _WINDOW_S * _WINDOW_S + _WINDOW_S
        parts: list[History] = three.all(attack, start_at=start_at, callers=contestant.callers)
    together: History = defaultdict(list)
    for part in parts:
        for subject, decisions in part.items():
            together[subject] += decisions
    return together


async def attack(instance: Instance, *, start_at: float, callers: int) -> History:
    """Make all attackers' accesses to this instance, each at its moment."""
    agenda = sorted(
        ((at, subject) for subject in _subjects() for at in _moments(subject, instance.number)),
        key=lambda entry: entry[0],
    )
    seen: History = defaultdict(list)
    now, later = instance.limiter.now, instance.limiter.later
    places = asyncio.Semaphore(callers)
    give_up_at = start_at + WINDOWS * _WINDOW_S + _GIVE_UP_AFTER_S

    async def ask(subject: Subject) -> None:
        async with places:
            if time.time() > give_up_at:
                return
            asked = time.monotonic()
            assert later is not None
            admitted = await later(str(subject), subject.limit)
            seen[subject].append(Decided(asked, time.monotonic(), admitted))

    async with asyncio.TaskGroup() as group:
        for at, subject in agenda:
            if (early := start_at + at - time.time()) > 0:
                await asyncio.sleep(early)
            elif early < -_GIVE_UP_AFTER_S:
                break
            if now is not None:
                asked = time.monotonic()
                admitted = now(str(subject), subject.limit)
                seen[subject].append(Decided(asked, time.monotonic(), admitted))
            else:
                group.create_task(ask(subject))
    return dict(seen)


def _subjects() -> list[Subject]:
    return [
        Subject(attacker, limit, number)
        for limit, count in _SUBJECTS.items()
        for attacker in ATTACKERS
        for number in range(count)
    ]


def judge(history: History) -> Verdicts:
    """By attacker and limit."""
    verdicts: Verdicts = {}
    for limit in _SUBJECTS:
        for attacker in ATTACKERS:
            of = [d for s, d in history.items() if (s.attacker, s.limit) == (attacker, limit)]
            verdicts[attacker, limit] = Verdict(
                most=max((most_in_a_window(d, _WINDOW_S) for d in of), default=0),
                denied=sum(not one.admitted for d in of for one in d),
                wrongly=sum(wrong_denials(d, _WINDOW_S, limit) for d in of),
                decided=sum(len(d) for d in of),
                asked=_asked(attacker, limit),
            )
    return verdicts


def _asked(attacker: str, limit: int) -> int:
    return sum(
        len(_moments(Subject(attacker, limit, number), instance))
        for number in range(_SUBJECTS[limit])
        for instance in range(_INSTANCES)
    )


def _moments(subject: Subject, instance: int) -> list[float]:
    dice = random.Random(f"{subject} {instance}")
    attacker = ATTACKERS[subject.attacker]
    return list(attacker(instance, _INSTANCES, subject.limit, _WINDOW_S, dice))


def _table(limit: int, found: dict[str, Verdicts]) -> Table:
    rows = []
    for name, verdicts in found.items():
        of = [verdicts[attacker, limit] for attacker in ATTACKERS]
        honest = verdicts["no attacker", limit]
        rows.append(
            [
                name,
                *(str(verdict.most) for verdict in of),
                f"{_share(sum(v.wrongly for v in of), sum(v.denied for v in of)):.1%}",
                f"{_share(honest.wrongly, honest.decided):.1%}",
                f"{_share(sum(v.decided for v in of), sum(v.asked for v in of)):.0%}",
            ]
        )
    return Table(
        f"Limit {limit} in {_WINDOW_S} s, three instances: most admitted in any {_WINDOW_S} s",
        [
            "contestant",
            *ATTACKERS,
            "denials that were wrong",
            "… of accesses without an attacker",
            "decided",
        ],
        rows,
        note="An exact log is the judge, and doubt is in favour of the contestant. "
        f"Whoever falls {_GIVE_UP_AFTER_S:.0f} s behind does not decide the rest.",
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _chart(limit: int, found: dict[str, Verdicts]) -> Bars:
    attackers: Sequence[str] = [name for name in ATTACKERS if name != "no attacker"]
    return Bars(
        f"overshoot-{limit}",
        f"Most admitted in one window, in limits (limit {limit}, three instances)",
        "accesses admitted in one window ÷ the limit",
        attackers,
        [
            (name, [verdicts[attacker, limit].most / limit for attacker in attackers])
            for name, verdicts in found.items()
        ],
        linear=True,
    )
