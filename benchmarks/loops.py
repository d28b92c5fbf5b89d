"""How accesses are made in an instance: as fast as they are answered, or at their own times.

The closed loop gives the rate. Its latencies would lie: a caller that waits makes no accesses, so
a stall is counted once instead of for everybody who came meanwhile. Latencies are therefore taken
in the open loop, where every access has a time at which it is due, and lasts from then on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from benchmarks.fleet import Instance
from benchmarks.loads import draws

_SLICE = 250
_START_TOGETHER_S = 0.05
_SPIN_S = 0.002
_GIVE_UP_AFTER_S = 5.0


@dataclass(frozen=True, slots=True)
class Spent:
    """One instance's part in a closed loop."""

    decisions: int
    admitted: int
    seconds: float
    cpu_s: float

    @property
    def rate(self) -> float:
        """Decisions per second."""
        return self.decisions / self.seconds


@dataclass(frozen=True, slots=True)
class Latencies:
    """What an open loop has seen, in microseconds; None where it fell behind for good."""

    offered: float
    achieved: float
    p50_us: float | None
    p99_us: float | None
    p999_us: float | None


async def closed(
    instance: Instance, load: str, tag: str, limit: int, *, callers: int, seconds: float
) -> Spent:
    """Decide for `seconds`, each caller as soon as its last access is answered.

    Between slices of decisions the event loop runs, and the time ends when the store has all that
    was decided: the rate pays for sharing.

    Args:
        tag: Set before every subject, so that its count is new.
    """
    subjects = [f"{tag}:{subject}" for subject in draws(load, instance.number)]
    await asyncio.sleep(_START_TOGETHER_S)
    cpu, begun = time.process_time(), time.perf_counter()
    end = begun + seconds
    now, later = instance.limiter.now, instance.limiter.later
    if now is not None:
        decisions, admitted = await _in_slices(now, subjects, limit, end)
    else:
        assert later is not None
        decisions, admitted = await _waiting(later, subjects, limit, callers, end)
    if instance.limiter.settled is not None:
        await instance.limiter.settled()
    took, used = time.perf_counter() - begun, time.process_time() - cpu
    return Spent(decisions, admitted, took, used)


async def _in_slices(
    admit: Callable[[str, int], bool], subjects: Sequence[str], limit: int, end: float
) -> tuple[int, int]:
    clock = time.perf_counter
    decisions = admitted = 0
    while True:
        start = decisions % len(subjects)
        for number, subject in enumerate(subjects[start : start + _SLICE]):
            admitted += admit(subject, limit)
            # A look at the clock is far cheaper than a round trip, and dear beside a dict.
            if not number % 10 and clock() > end:
                return decisions + number + 1, admitted
        decisions += _SLICE
        await asyncio.sleep(0)


async def _waiting(
    admit: Callable[[str, int], Awaitable[bool]],
    subjects: Sequence[str],
    limit: int,
    callers: int,
    end: float,
) -> tuple[int, int]:
    clock = time.perf_counter
    decisions = admitted = 0

    async def call(caller: int) -> None:
        nonlocal decisions, admitted
        number = caller
        while clock() < end:
            admitted += await admit(subjects[number % len(subjects)], limit)
            decisions += 1
            number += callers

    await asyncio.gather(*(call(number) for number in range(callers)))
    return decisions, admitted


async def opened(
    instance: Instance, load: str, tag: str, limit: int, *, per_second: float, seconds: float
) -> Latencies:
    """Make accesses at even intervals, whatever becomes of the earlier ones.

    Waits for the next one without sleeping, as sleeping is good to a millisecond only; the event
    loop runs meanwhile.
    """
    subjects = [f"{tag}:{subject}" for subject in draws(load, instance.number)]
    clock = time.perf_counter
    took: list[float] = []
    count = max(20, round(per_second * seconds))
    now, later = instance.limiter.now, instance.limiter.later
    begun = clock() + _START_TOGETHER_S

    async def wait_for(subject: str, due: float) -> None:
        assert later is not None
        await later(subject, limit)
        took.append(clock() - due)

    async with asyncio.TaskGroup() as group:
        for number in range(count):
            due = begun + number / per_second
            while (early := due - clock()) > 0:  # noqa: ASYNC110  nothing else tells the time
                await asyncio.sleep(early - _SPIN_S if early > 2 * _SPIN_S else 0)
            if clock() - begun > seconds + _GIVE_UP_AFTER_S:
                break
            subject = subjects[number % len(subjects)]
            if now is not None:
                now(subject, limit)
                took.append(clock() - due)
            else:
                group.create_task(wait_for(subject, due))
    return summarise(took, per_second, clock() - begun)


def summarise(took_s: list[float], per_second: float, elapsed_s: float) -> Latencies:
    """Condense an open loop. Where accesses were offered faster than they were answered, the
    latencies only say how long that went on: there are none then."""
    achieved = len(took_s) / elapsed_s
    if achieved < 0.9 * per_second:
        return Latencies(per_second, achieved, None, None, None)
    took_s.sort()
    last = len(took_s) - 1
    p50, p99, p999 = (took_s[round(last * part)] * 1e6 for part in (0.5, 0.99, 0.999))
    return Latencies(per_second, achieved, p50, p99, p999)
