"""What becomes of decisions while the store does not answer, or is killed and comes back.

Stopped (SIGSTOP): connections stay open and silent, as behind a dead switch. Killed (SIGKILL) and
started again on its disk: what it had not written is gone. One instance is asked 100 times a
second all along.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from benchmarks.bench import Effort, Section, Table
from benchmarks.contestant import Contestant, Store
from benchmarks.contestants import chosen
from benchmarks.fleet import Failures, Instance, fleet
from benchmarks.stores import Stores, stores

_PER_SECOND = 100
_AWAY_S = {"stopped": 2.5, "killed": 1.0}
_BEFORE_S = 0.5
_AFTER_S = 1.0
_PROMPT_S = 0.05
_LIMIT = 1_000_000
_SPENT = ("spent", 5)
_RESTARTED_WITHIN_S = 10


@dataclass(frozen=True, slots=True)
class Asked:
    """One access, on the machine's monotonic clock."""

    due: float
    answered: float
    error: str | None


@dataclass(frozen=True, slots=True)
class Outage:
    """What was seen of one.

    Attributes:
        prompt: Share of the accesses due meanwhile that were answered within 50 ms.
        errors: The errors raised, by type.
        longest_s: The longest wait of any access.
        well_after_s: From the store's return until no access was late or failed any more.
        remembers: Whether a limit used up before is still used up afterwards, to another instance:
            yes, no, or the error that it does not get over.
    """

    prompt: float
    errors: dict[str, int]
    longest_s: float
    well_after_s: float
    remembers: str


def run(effort: Effort) -> Section:
    """Each contestant once."""
    found: dict[str, dict[str, Outage]] = {}
    failures = Failures()
    with stores() as running:
        for contestant in chosen(effort, shared=True, few=True):
            with failures.noted(contestant.name):
                found[contestant.name] = {
                    kind: _suffered(contestant, running, kind, 0.5 if effort.quick else away_s)
                    for kind, away_s in _AWAY_S.items()
                }
    return Section(
        tables=[_table(kind, found) for kind in _AWAY_S],
        markdown=failures.markdown(),
        raw={name: {k: asdict(o) for k, o in kinds.items()} for name, kinds in found.items()},
    )


def _suffered(contestant: Contestant, running: Stores, kind: str, away_s: float) -> Outage:
    store = running.redis if contestant.store is Store.REDIS else running.etcd
    with fleet(contestant.name, running, instances=2) as pair:
        pair.first(1, spend)
        pair.begin(1, keep_asking, seconds=_BEFORE_S + away_s + _AFTER_S)
        time.sleep(_BEFORE_S)
        left = time.monotonic()
        if kind == "stopped":
            store.signal(signal.SIGSTOP)
            time.sleep(away_s)
            store.signal(signal.SIGCONT)
        else:
            store.signal(signal.SIGKILL)
            time.sleep(away_s)
            store.start()
        back = time.monotonic()
        [asked] = pair.finish(1)
        _, remembers = pair.all(is_spent)
        return summarise(asked, left, back, remembers=remembers)


async def spend(instance: Instance) -> None:
    """Use up a subject's limit, and let the store know."""
    subject, limit = _SPENT
    for _ in range(limit):
        await _admitted(instance, subject, limit)
    if instance.limiter.settled is not None:
        await instance.limiter.settled()


async def keep_asking(instance: Instance, *, seconds: float) -> list[Asked]:
    """Accesses at even intervals; those that block make the later ones late."""
    asked: list[Asked] = []
    begun = time.monotonic()

    async def ask(number: int, due: float) -> None:
        error = None
        try:
            await _admitted(instance, f"user{number % 100}", _LIMIT)
        except Exception as failure:  # noqa: BLE001 - whatever it raises is what is to be shown
            error = type(failure).__name__
        asked.append(Asked(due, time.monotonic(), error))

    async with asyncio.TaskGroup() as group:
        for number in range(round(seconds * _PER_SECOND)):
            due = begun + number / _PER_SECOND
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if instance.limiter.now is not None:
                await ask(number, due)
            else:
                group.create_task(ask(number, due))
    return asked


async def is_spent(instance: Instance) -> str:
    """Whether the limit used up before still is, to this instance."""
    subject, limit = _SPENT
    deadline = time.monotonic() + _RESTARTED_WITHIN_S
    if instance.limiter.count is not None:
        # Those that decide in memory may not have heard of it yet.
        await asyncio.sleep(_PROMPT_S)
        instance.limiter.count(subject)
        await asyncio.sleep(_AFTER_S / 2)
    while True:
        try:
            return "no" if await _admitted(instance, subject, limit) else "yes"
        except Exception as error:  # noqa: BLE001 - not connected again yet
            if time.monotonic() > deadline:
                return type(error).__name__
            await asyncio.sleep(_PROMPT_S)


async def _admitted(instance: Instance, subject: str, limit: int) -> bool:
    if instance.limiter.now is not None:
        return instance.limiter.now(subject, limit)
    assert instance.limiter.later is not None
    return await instance.limiter.later(subject, limit)


def summarise(asked: Sequence[Asked], left: float, back: float, *, remembers: str) -> Outage:
    """Condense what was seen of an outage from `left` to `back`."""
    meanwhile = [a for a in asked if left <= a.due < back]
    bad = [a for a in asked if a.due >= left and (a.error or a.answered - a.due > _PROMPT_S)]
    return Outage(
        prompt=sum(a not in bad for a in meanwhile) / max(1, len(meanwhile)),
        errors=dict(Counter(a.error for a in asked if a.error is not None)),
        longest_s=max(a.answered - a.due for a in asked),
        well_after_s=max((a.answered for a in bad), default=back) - back,
        remembers=remembers,
    )


def _table(kind: str, found: dict[str, dict[str, Outage]]) -> Table:
    rows = []
    for name, kinds in found.items():
        seen = kinds[kind]
        rows.append(
            [
                name,
                f"{seen.prompt:.0%}",
                ", ".join(f"{n} {error}" for error, n in sorted(seen.errors.items())) or "none",
                f"{seen.longest_s:.2f}",
                f"{max(0.0, seen.well_after_s):.2f}",
                seen.remembers,
            ]
        )
    how = "stopped (SIGSTOP) for" if kind == "stopped" else "killed and started on its disk after"
    return Table(
        f"The store is {how} {_AWAY_S[kind]:g} s",
        [
            "contestant",
            "answered within 50 ms meanwhile",
            "errors raised",
            "longest wait, s",
            "well again after, s",
            "another instance remembers a used-up limit",
        ],
        rows,
        note="Errors and waits of the client as its documentation has it, without time-outs of "
        "one's own.",
    )
