"""How long to wait: between two batches, and after a failure. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Iterator

_SHORTEST_RETRY_S = 0.05
_LONGEST_RETRY_S = 2.0
_BUDGET_REFERENCE = 100


def batch_interval_s(
    *, writers: int, flush_interval_s: float, write_budget: float, strict: bool
) -> float:
    """Seconds from the start of one batch to that of the next.

    The cluster's budget of writes per second is shared among the instances that wrote lately. Each
    write is delivered to every instance, so what really costs is writers² / interval. Strict
    attempts wait for their batch, so they use as many deliveries as 100 instances on the
    write budget cause: hardly any wait for a few instances, the same interval for 100.
    """
    shared = writers / write_budget
    if strict:
        return shared * min(1.0, writers / _BUDGET_REFERENCE)
    return max(flush_interval_s, shared)


def retries_s(jitter: Callable[[], float]) -> Iterator[float]:
    """Seconds to wait before each further try: doubling up to 2 s, each by a random half.

    Args:
        jitter: Returns a number in [0, 1).
    """
    delay = _SHORTEST_RETRY_S
    while True:
        yield delay * (0.5 + jitter() / 2)
        delay = min(_LONGEST_RETRY_S, delay * 2)
