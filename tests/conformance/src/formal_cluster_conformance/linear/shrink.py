"""The smallest part of an impossible history that is still impossible: what a person should read.

Only what cannot make a possible history impossible is left out, so what remains is a proof:

- the end, with calls that were under way then becoming calls of unknown outcome;
- calls that change nothing (reads, conflicts, deletions of nothing);
- unconditional writes that nobody read, met or deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from formal_cluster_conformance.linear.checker import Verdict, check
from formal_cluster_conformance.linear.operation import Ending, Kind, Operation, opened

_BUDGET: Final = 20_000


def shrink(
    operations: Sequence[Operation],
    is_illegal: Callable[[Sequence[Operation]], bool] | None = None,
) -> list[Operation]:
    """The smallest illegal part found of an illegal history of one key, by time of begin."""
    illegal = is_illegal or _is_illegal
    history = sorted(operations, key=lambda op: op.begin)
    history = _shortest_beginning(history, illegal)
    for operation in reversed(list(history)):
        if not _may_go(operation, history):
            continue
        without = [op for op in history if op is not operation]
        if illegal(without):
            history = without
    return history


def _is_illegal(operations: Sequence[Operation]) -> bool:
    return check(operations, budget=_BUDGET).verdict is Verdict.ILLEGAL


def _shortest_beginning(
    history: list[Operation], illegal: Callable[[Sequence[Operation]], bool]
) -> list[Operation]:
    """The history up to the first return after which it is impossible."""
    ends = sorted(op.end for op in history if not op.is_open)
    low, high = 0, len(ends) - 1
    while low < high:
        middle = (low + high) // 2
        if illegal(_until(history, ends[middle])):
            high = middle
        else:
            low = middle + 1
    shortest = _until(history, ends[low]) if ends else history
    return shortest if illegal(shortest) else history


def _until(history: Sequence[Operation], moment: float) -> list[Operation]:
    begun = [op for op in history if op.begin <= moment]
    cut = [op if op.is_open or op.end <= moment else opened(op) for op in begun]
    return [op for op in cut if not (op.is_open and op.kind is Kind.GET)]


def _may_go(operation: Operation, history: Sequence[Operation]) -> bool:
    if operation.ending is Ending.CONFLICT or operation.kind is Kind.GET:
        return True
    if operation.ending is Ending.REFUSED:
        return True
    if operation.kind is Kind.DELETE:
        return operation.ending is Ending.DONE and operation.revision is None
    if operation.ending is Ending.UNKNOWN:
        return not any(op.kind is Kind.GET and op.value == operation.value for op in history)
    return operation.if_revision is None and not any(
        _met(op, operation) for op in history if op is not operation
    )


def _met(other: Operation, write: Operation) -> bool:
    """Whether the other call may have depended on the write having happened."""
    if other.kind is Kind.GET:
        return other.value == write.value
    if other.kind is Kind.DELETE:
        return True
    if other.ending is Ending.CONFLICT:
        return other.revision is None or other.revision == write.revision
    return other.if_revision is not None and other.if_revision == write.revision
