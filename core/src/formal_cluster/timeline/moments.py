"""The times of a timeline, as people write them: `90s`, `1m30s`, `+250ms`. Pure."""

from __future__ import annotations

import re

_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_TIME = re.compile(r"\+?(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def moment_ms(text: str, before: int) -> int:
    """Milliseconds since the timeline's start.

    Args:
        text: A time such as `1m30s`; with `+`, after the step before.
        before: When that was.

    Raises:
        ValueError: It is no time, or is before the step before.
    """
    if _TIME.fullmatch(text) is None:
        raise ValueError(f"{text!r} is no time; write 90s, 1m30s, 250ms, or +10s for later")
    ms = round(sum(float(number) * _UNIT_MS[unit] for number, unit in _PART.findall(text)))
    at = before + ms if text.startswith("+") else ms
    if at < before:
        raise ValueError(f"{text} is before the step before, which is at {moment_text(before)}")
    return at


def moment_text(ms: int) -> str:
    """The shortest way to write a time: `90000` is `1m30s`."""
    parts = []
    for unit, length in sorted(_UNIT_MS.items(), key=lambda item: -item[1]):
        number, ms = divmod(ms, length)
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts) or "0s"
