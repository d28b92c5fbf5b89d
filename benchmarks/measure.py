"""Timing: rounds that alternate between the contestants, medians with their spread."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

Operation = Callable[[int], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Sample:
    """One round: operations per second, and latencies in microseconds."""

    rate: float
    p50_us: float
    p99_us: float


@dataclass(frozen=True, slots=True)
class Result:
    """All rounds of one contestant."""

    name: str
    samples: Sequence[Sample]

    @property
    def rate(self) -> float:
        return statistics.median(s.rate for s in self.samples)

    @property
    def spread(self) -> float:
        """(max - min) / median of the rounds' rates."""
        rates = [s.rate for s in self.samples]
        return (max(rates) - min(rates)) / self.rate

    @property
    def p50_us(self) -> float:
        return statistics.median(s.p50_us for s in self.samples)

    @property
    def p99_us(self) -> float:
        return statistics.median(s.p99_us for s in self.samples)


def sample(latencies_s: list[float], elapsed_s: float, operations: int | None = None) -> Sample:
    """Condense one round.

    Args:
        operations: How many there were, if not each of them was timed.
    """
    latencies_s.sort()
    last = len(latencies_s) - 1
    return Sample(
        rate=(len(latencies_s) if operations is None else operations) / elapsed_s,
        p50_us=latencies_s[last // 2] * 1e6,
        p99_us=latencies_s[round(last * 0.99)] * 1e6,
    )


async def waiting(
    operation: Operation,
    callers: int,
    seconds: float,
    conclude: Callable[[Any], object] | None = None,
) -> Sample:
    """Keep `callers` calls outstanding for `seconds` (closed loop).

    Args:
        conclude: Called with each result.
    """
    clock = time.perf_counter
    latencies: list[float] = []
    begun = clock()
    end = begun + seconds

    async def caller(number: int) -> None:
        while (before := clock()) < end:
            result = await operation(number)
            if conclude is not None:
                conclude(result)
            latencies.append(clock() - before)

    await asyncio.gather(*(caller(number) for number in range(callers)))
    return sample(latencies, clock() - begun)
