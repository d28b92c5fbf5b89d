"""The search for an order: Wing and Gong's, with Lowe's memory of what has been tried.

Of all calls not placed yet, only those may come next that began before every one of the others had
returned. The search places one of them if the model allows it, and goes back when nothing fits.
(Set of placed calls, state) that failed once is never tried again. Calls with unknown outcome may
be placed anywhere after their begin, or not at all.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

from formal_cluster_conformance.linear.operation import Ending, Kind, Operation
from formal_cluster_conformance.linear.register import ABSENT, step

BUDGET: Final = 200_000
"""States to look at before giving up, about a second's worth."""

S = TypeVar("S", bound=tuple)  # type: ignore[type-arg]


class Verdict(enum.StrEnum):
    """What is known of a history."""

    OK = "ok"
    ILLEGAL = "illegal"
    UNKNOWN = "unknown"
    """The budget was used up before an order was found or excluded."""


class Judgement(NamedTuple):
    """A verdict and how it came about.

    Attributes:
        order: Numbers of the operations in an order that works; of the longest beginning of one if
            the verdict is not `ok`.
        looked_at: How many states were looked at.
    """

    verdict: Verdict
    order: tuple[int, ...]
    looked_at: int


class _Frame(NamedTuple, Generic[S]):
    placed: int
    state: S
    choices: list[tuple[int, S]]


def check(operations: Sequence[Operation], *, budget: int = BUDGET) -> Judgement:
    """Whether calls on one key, which did not exist before, can be put in order."""
    relevant = [
        op
        for op in operations
        if op.ending is not Ending.REFUSED
        and not (op.kind is Kind.GET and op.ending is not Ending.DONE)
    ]
    return search(relevant, ABSENT, step, budget=budget)


def search(
    operations: Sequence[Operation],
    initial: S,
    model: Callable[[S, Operation], S | None],
    *,
    budget: int,
) -> Judgement:
    """`check` for any model: `model(state, operation)` is the next state, or None if illegal."""
    history = sorted(operations, key=lambda op: (op.begin, op.number))
    to_place = sum(1 << at for at, op in enumerate(history) if not op.is_open)
    seen: set[tuple[int, S]] = set()
    path: list[int] = []
    longest: tuple[int, ...] = ()
    looked_at = 0
    stack: list[_Frame[S]] = [_Frame(0, initial, _next(history, 0, initial, model))]
    while stack:
        frame = stack[-1]
        if frame.placed & to_place == to_place:
            return Judgement(Verdict.OK, tuple(path), looked_at)
        if not frame.choices:
            stack.pop()
            if path:
                path.pop()
            continue
        at, state = frame.choices.pop()
        placed = frame.placed | 1 << at
        if (placed, state) in seen:
            continue
        seen.add((placed, state))
        looked_at += 1
        if looked_at > budget:
            return Judgement(Verdict.UNKNOWN, longest, looked_at)
        path.append(history[at].number)
        if len(path) > len(longest):
            longest = tuple(path)
        stack.append(_Frame(placed, state, _next(history, placed, state, model)))
    return Judgement(Verdict.ILLEGAL, longest, looked_at)


def _next(
    history: Sequence[Operation],
    placed: int,
    state: S,
    model: Callable[[S, Operation], S | None],
) -> list[tuple[int, S]]:
    """What may come next, the likeliest last.

    If a closed call fits without changing anything, placing it at once loses nothing: whatever
    order works with it later works with it now.
    """
    choices: list[tuple[int, S]] = []
    open_choices: list[tuple[int, S]] = []
    first_end = math.inf
    at = _first_unplaced(placed)
    while at < len(history) and history[at].begin <= first_end:
        if not placed >> at & 1:
            operation = history[at]
            first_end = min(first_end, operation.end)
            after = model(state, operation)
            if after is not None:
                if after == state and not operation.is_open:
                    return [(at, after)]
                (open_choices if operation.is_open else choices).append((at, after))
        at += 1
    # Those that return first most likely came first; a guess that something happened comes last.
    choices.sort(key=lambda choice: history[choice[0]].end, reverse=True)
    return open_choices + choices


def _first_unplaced(placed: int) -> int:
    return (~placed & placed + 1).bit_length() - 1
