"""Draws a history: one line for each call, with a bar from its begin to its return."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from formal_cluster_conformance.linear.operation import Ending, Kind, Operation

_WIDTH: Final = 36
_MOST: Final = 40
_LONGEST_VALUE: Final = 24


def timeline(operations: Sequence[Operation]) -> str:
    """The calls by begin. At most the last 40 are drawn."""
    history = sorted(operations, key=lambda op: op.begin)
    left_out, history = len(history[:-_MOST]), history[-_MOST:]
    if not history:
        return ""
    # Moments are drawn in equal distance: what matters is which came first.
    moments = sorted({op.begin for op in history} | {op.end for op in history if op.end < math.inf})
    column = {
        moment: round(at * (_WIDTH - 1) / max(1, len(moments) - 1))
        for at, moment in enumerate(moments)
    }
    names = max(len(f"client {op.client}") for op in history)
    lines = [f"({left_out} earlier calls are not shown)"] if left_out else []
    start = history[0].begin
    for op in history:
        bar = _bar(column[op.begin], column.get(op.end))
        at = f"{(op.begin - start) * 1000:9.3f} ms"
        lines.append(f"{at}  {f'client {op.client}':{names}}  {bar}  {describe(op)}")
    return "\n".join(lines)


def describe(operation: Operation) -> str:
    """The call and how it ended, in words."""
    call = operation.kind.value
    if operation.kind is Kind.PUT:
        call += f" {_shown(operation.value)}"
    if operation.if_revision is not None:
        call += f" if revision {operation.if_revision}"
    return f"{call} -> {_ended(operation)}"


def _ended(operation: Operation) -> str:
    if operation.ending is Ending.UNKNOWN:
        return "outcome unknown"
    if operation.ending is Ending.REFUSED:
        return "not applied"
    if operation.ending is Ending.CONFLICT:
        actual = "" if operation.revision is None else f", the key is at {operation.revision}"
        return f"conflict{actual}"
    if operation.kind is Kind.GET:
        if operation.value is None:
            return "no such key"
        return f"{_shown(operation.value)} at revision {operation.revision}"
    return "no such key" if operation.revision is None else f"revision {operation.revision}"


def _bar(begin: int, end: int | None) -> str:
    if end is None:
        return " " * begin + "├" + "─" * (_WIDTH - begin - 1) + "…"
    inside = "─" * max(0, end - begin - 1)
    return (" " * begin + "├" + inside + "┤").ljust(_WIDTH + 1)


def _shown(value: bytes | None) -> str:
    if value is None:
        return "None"
    text = value[:_LONGEST_VALUE].decode("ascii", "backslashreplace")
    return f'"{text}"' if len(value) <= _LONGEST_VALUE else f'"{text}…" ({len(value)} bytes)'
