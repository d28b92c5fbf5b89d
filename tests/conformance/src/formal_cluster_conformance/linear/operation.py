"""One recorded call: who called what, from when to when, and how it ended."""

from __future__ import annotations

import enum
import math
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple


class Kind(enum.StrEnum):
    """What was called."""

    GET = "get"
    PUT = "put"
    DELETE = "delete"


class Ending(enum.StrEnum):
    """How the call ended."""

    DONE = "done"
    CONFLICT = "conflict"
    """The condition did not hold."""
    REFUSED = "refused"
    """Certainly not applied."""
    UNKNOWN = "unknown"
    """Nobody knows whether it was applied, or will be. Its interval stays open."""


class Operation(NamedTuple):
    """A call on one key.

    Attributes:
        number: Unique within a history.
        client: Who called; calls of one client do not overlap.
        begin: When it was called, seconds on one clock.
        end: When it returned; infinite when the outcome is unknown.
        value: What a put wrote, or what a get read; None if there was no key.
        if_revision: The condition of a put or delete.
        revision: What a put or delete returned, what a get read (0: no key), or the actual revision
            that a conflict told. None when it was not told.
    """

    number: int
    client: int
    kind: Kind
    key: bytes
    begin: float
    end: float
    ending: Ending
    value: bytes | None = None
    if_revision: int | None = None
    revision: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether it may still be applied."""
        return self.ending is Ending.UNKNOWN

    @property
    def change(self) -> int | None:
        """The revision of the change that it certainly made."""
        if self.ending is not Ending.DONE or self.kind is Kind.GET:
            return None
        return self.revision

    @property
    def presumed(self) -> int | None:
        """The key's revision right before it, if its outcome tells that."""
        if self.kind is Kind.GET or self.ending is Ending.CONFLICT:
            return self.revision
        return self.if_revision


def opened(operation: Operation) -> Operation:
    """The same call, of which it is not known how it ended."""
    return operation._replace(end=math.inf, ending=Ending.UNKNOWN, revision=None)


def by_key(operations: Iterable[Operation]) -> dict[bytes, list[Operation]]:
    """The history of each key. Keys do not influence each other, so each is checked alone."""
    histories: defaultdict[bytes, list[Operation]] = defaultdict(list)
    for operation in operations:
        histories[operation.key].append(operation)
    return dict(histories)


def overlapping(operations: Iterable[Operation]) -> int:
    """How many of the operations ran at the same time as another one on the same key."""
    count = 0
    for history in by_key(operations).values():
        ordered = sorted(history, key=lambda op: op.begin)
        latest_end = -math.inf
        for index, operation in enumerate(ordered):
            follower = ordered[index + 1].begin if index + 1 < len(ordered) else math.inf
            count += operation.begin < latest_end or follower < operation.end
            # An operation that stays open for ever is no contention.
            latest_end = max(latest_end, operation.end if operation.end < math.inf else -math.inf)
    return count
