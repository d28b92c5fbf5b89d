"""The search for an order: Wing and Gong's, with Lowe's memory of what has been tried.

Of all calls not placed yet, only those may come next that began before every one of the others had
returned. The search places one of them if the model allows it, and goes back when nothing fits.
(Set of placed calls, state) that failed once is never tried again. Calls with unknown outcome may
be placed anywhere after their begin, or not at all; never right before a write that would have gone
the same way without them, since what nobody met need not have happened. Changes whose revisions
were told come in the order of these.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

from formal_cluster.model import Event
from formal_cluster_conformance.linear.operation import Ending, Kind, Operation
from formal_cluster_conformance.linear.register import ABSENT, Register, step
from formal_cluster_conformance.linear.resolve import resolved, witnessed

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


class _Choice(NamedTuple, Generic[S]):
    at: int
    after: S


class _Frame(NamedTuple, Generic[S]):
    placed: int
    state: S
    choices: list[_Choice[S]]


def check(
    operations: Sequence[Operation],
    *,
    events: Sequence[Event] | None = None,
    budget: int = BUDGET,
) -> Judgement:
    """Whether calls on one key, which did not exist before, can be put in order.

    Args:
        events: What a watch says was changed; None without one. It need not be right: an order is
            looked for that agrees with it, and then any other.
    """
    if events is not None:
        judgement = _ordered(witnessed(operations, events), budget)
        if judgement.verdict is Verdict.OK:
            return judgement
    return _ordered(operations, budget)


def _ordered(operations: Sequence[Operation], budget: int) -> Judgement:
    relevant = [
        op
        for op in resolved(operations)
        if op.ending is not Ending.REFUSED
        and not (op.kind is Kind.GET and op.ending is not Ending.DONE)
    ]
    told = {op.change for op in relevant} - {None}

    def model(state: Register, operation: Operation) -> Register | None:
        if state.revision is None and operation.presumed in told:
            return None  # another call made that revision
        return step(state, operation)

    return search(relevant, ABSENT, model, budget=budget)


def search(
    operations: Sequence[Operation],
    initial: S,
    model: Callable[[S, Operation], S | None],
    *,
    budget: int,
) -> Judgement:
    """`check` for any model: `model(state, operation)` is the next state, or None if illegal.

    Revisions of the model's changes only grow. What an unconditional put does must not depend on
    the value and revision before it.
    """
    # The closed ones first, so that those that stay open are not passed over at every step.
    history = sorted(operations, key=lambda op: (op.is_open, op.begin, op.number))
    closed = sum(not op.is_open for op in history)
    to_place = (1 << closed) - 1
    seen: set[tuple[int, S, bool]] = set()
    path: list[int] = []
    longest: tuple[int, ...] = ()
    looked_at = 0
    changes = [at for at in range(closed) if history[at].change is not None]
    changes.sort(key=lambda at: history[at].change or 0)
    later = _Later(changes)
    stack: list[_Frame[S]] = [_Frame(0, initial, _next(history, closed, 0, initial, model, later))]
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
        placed, guessed = frame.placed | 1 << at, at >= closed
        if (placed, state, guessed) in seen:
            continue
        seen.add((placed, state, guessed))
        looked_at += 1
        if looked_at > budget:
            return Judgement(Verdict.UNKNOWN, longest, looked_at)
        path.append(history[at].number)
        if len(path) > len(longest):
            longest = tuple(path)
        choices = _next(history, closed, placed, state, model, later)
        if guessed:
            choices = [choice for choice in choices if not _overwrites(history[choice.at])]
        stack.append(_Frame(placed, state, choices))
    return Judgement(Verdict.ILLEGAL, longest, looked_at)


def _next(
    history: Sequence[Operation],
    closed: int,
    placed: int,
    state: S,
    model: Callable[[S, Operation], S | None],
    later: _Later,
) -> list[_Choice[S]]:
    """What may come next, the likeliest last.

    If a closed call fits without changing anything, placing it at once loses nothing: whatever
    order works with it later works with it now.
    """
    choices: list[_Choice[S]] = []
    first_end = math.inf
    not_yet = later.than_next(placed)
    at = _first_unplaced(placed)
    while at < closed and history[at].begin <= first_end:
        if not placed >> at & 1:
            operation = history[at]
            first_end = min(first_end, operation.end)
            after = None if not_yet >> at & 1 else model(state, operation)
            if after == state:
                return [_Choice(at, after)]
            if after is not None:
                choices.append(_Choice(at, after))
        at += 1
    # Those that return first most likely came first; a guess that something happened comes last.
    choices.sort(key=lambda choice: history[choice.at].end, reverse=True)
    guesses: list[_Choice[S]] = []
    for at in range(closed, len(history)):
        if history[at].begin > first_end:
            break
        if not placed >> at & 1 and (after := model(state, history[at])) is not None:
            guesses.append(_Choice(at, after))
    return guesses + choices


class _Later:
    """Which changes have to wait until others are placed: those with larger revisions.

    Args:
        changes: Positions of the changes with known revisions, in the order of these.
    """

    def __init__(self, changes: Sequence[int]) -> None:
        self._all = sum(1 << at for at in changes)
        self._after = [0]
        for at in reversed(changes[1:]):
            self._after.append(self._after[-1] | 1 << at)
        self._after.reverse()

    def than_next(self, placed: int) -> int:
        """Positions of those that come after the first one not placed."""
        done = (placed & self._all).bit_count()
        return self._after[done] if done < len(self._after) else 0


def _overwrites(operation: Operation) -> bool:
    """Whether it would have done the same without the call of unknown outcome before it."""
    return (
        operation.kind is Kind.PUT
        and operation.if_revision is None
        and operation.ending in (Ending.DONE, Ending.UNKNOWN)
    )


def _first_unplaced(placed: int) -> int:
    return (~placed & placed + 1).bit_length() - 1
