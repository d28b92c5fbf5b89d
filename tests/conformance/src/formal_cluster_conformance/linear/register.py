"""What one key of a store does: the sequential specification that histories are held against."""

from __future__ import annotations

from typing import NamedTuple

from formal_cluster_conformance.linear.operation import Ending, Kind, Operation


class Register(NamedTuple):
    """One key at one moment.

    Attributes:
        value: None if there is no key.
        revision: Of the last change, 0 if there is no key; None if it was made by a call whose
            outcome was never told and nobody has read it since.
        floor: Every later change has a larger revision than this.
    """

    value: bytes | None
    revision: int | None
    floor: int


ABSENT = Register(None, 0, 0)


def step(state: Register, operation: Operation) -> Register | None:
    """The key after the operation; None if the operation could not have ended so here."""
    if operation.ending is Ending.UNKNOWN:
        return _applied_silently(state, operation)
    if operation.ending is Ending.CONFLICT:
        return _conflicted(state, operation)
    if operation.kind is Kind.GET:
        return _read(state, operation)
    return _changed(state, operation)


def _read(state: Register, operation: Operation) -> Register | None:
    if operation.value != state.value or operation.revision is None:
        return None
    return _known(state, operation.revision)


def _changed(state: Register, operation: Operation) -> Register | None:
    before = state
    if operation.if_revision is not None:
        conditioned = _known(state, operation.if_revision)
        if conditioned is None:
            return None
        before = conditioned
    if operation.kind is Kind.DELETE and operation.revision is None:
        return before if before.value is None else None
    if operation.revision is None or operation.revision <= before.floor:
        return None
    if operation.kind is Kind.DELETE:
        return Register(None, 0, operation.revision) if before.value is not None else None
    return Register(operation.value, operation.revision, operation.revision)


def _conflicted(state: Register, operation: Operation) -> Register | None:
    if operation.revision is not None:
        if operation.revision == operation.if_revision:
            return None
        return _known(state, operation.revision)
    if state.revision is not None and state.revision == operation.if_revision:
        return None
    return state


def _applied_silently(state: Register, operation: Operation) -> Register | None:
    """An operation with unknown outcome takes effect now; if it never does, it is not asked."""
    if operation.if_revision is not None:
        conditioned = _known(state, operation.if_revision)
        if conditioned is None:
            return None
        state = conditioned
    if operation.kind is Kind.DELETE:
        return Register(None, 0, state.floor)
    return Register(operation.value, None, state.floor)


def _known(state: Register, revision: int) -> Register | None:
    """The state, given that the key's revision is this one; None if it is not."""
    if state.revision is not None:
        return state if state.revision == revision else None
    return Register(state.value, revision, revision) if revision > state.floor else None
