"""What is left of the limits that a decision has met, for whoever asked for it.

The fields `RateLimit` and `RateLimit-Policy` are those of the IETF's draft "RateLimit header fields
for HTTP" (draft-ietf-httpapi-ratelimit-headers, from its eighth edition on): lists of quoted names
with parameters, times in seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from formal_cluster.model import JSON, CounterReading, Decision, Window


class Quota(NamedTuple):
    """One counter's limit.

    Attributes:
        exceeded: The access came on top of the limit.
        reset_ms: When the next access becomes possible, or the oldest one stops to count.
    """

    name: str
    limit: int
    remaining: int
    exceeded: bool
    window_s: int
    reset_ms: int | None


def quotas(decision: Decision, reset_ms: Callable[[CounterReading], int | None]) -> Sequence[Quota]:
    """The counters that a decision has seen and whose limits are known."""
    return [
        Quota(
            reading.path.removeprefix("input."),
            reading.limit,
            reading.remaining or 0,
            reading.value > reading.limit,
            Window.parse(reading.window).length_ms // 1_000,
            reset_ms(reading),
        )
        for reading in decision.counters
        if reading.limit is not None
    ]


def as_json(met: Sequence[Quota]) -> JSON:
    """The quotas as a part of an answer."""
    return [
        {
            "name": quota.name,
            "limit": quota.limit,
            "remaining": quota.remaining,
            "window_s": quota.window_s,
            "reset_ms": quota.reset_ms,
        }
        for quota in met
    ]


def headers(met: Sequence[Quota], *, blocked: bool) -> dict[str, str]:
    """The quotas as HTTP fields; none if there are no quotas.

    Args:
        blocked: Whether to say when to come again, if that is known.
    """
    named = [(quoted, quota) for quota in met if (quoted := _quoted(quota.name)) is not None]
    if not named:
        return {}
    fields = {
        "RateLimit-Policy": ", ".join(f"{name};q={q.limit};w={q.window_s}" for name, q in named),
        "RateLimit": ", ".join(
            f"{name};r={q.remaining}"
            + ("" if q.reset_ms is None else f";t={math.ceil(q.reset_ms / 1_000)}")
            for name, q in named
        ),
    }
    waits = [quota.reset_ms for quota in met if quota.exceeded]
    if blocked and waits and None not in waits:
        longest = max(wait for wait in waits if wait is not None)
        fields["Retry-After"] = str(max(1, math.ceil(longest / 1_000)))
    return fields


def _quoted(name: str) -> str | None:
    """A structured field's string; None if it cannot be one."""
    if not (name.isascii() and name.isprintable()):
        return None
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
