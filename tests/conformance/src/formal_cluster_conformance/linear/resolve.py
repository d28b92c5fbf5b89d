"""What is known of calls with unknown outcome, from reads and from a watch. Pure.

It leaves the search less to guess: a put whose value somebody has read was applied, at the
revision that was read, before that read returned. That is certain. What a watch says is as good as
the watch; it is only where to look first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from formal_cluster.model import Event, EventKind
from formal_cluster_conformance.linear.operation import Ending, Kind, Operation


def resolved(operations: Sequence[Operation]) -> list[Operation]:
    """The same calls on one key, with the outcomes that follow from reads.

    Only a value that a single put wrote says whose it is.
    """
    written = Counter(op.value for op in operations if op.kind is Kind.PUT)
    reads: dict[bytes, Operation] = {}
    for op in operations:
        if op.kind is Kind.GET and op.value is not None and op.revision is not None:
            first = reads.setdefault(op.value, op)
            if op.end < first.end:
                reads[op.value] = op
    return [_resolved(op, reads) if written[op.value] == 1 else op for op in operations]


def _resolved(operation: Operation, reads: dict[bytes, Operation]) -> Operation:
    if operation.kind is not Kind.PUT or not operation.is_open or operation.value is None:
        return operation
    read = reads.get(operation.value)
    if read is None or read.end <= operation.begin:
        return operation
    return operation._replace(end=read.end, ending=Ending.DONE, revision=read.revision)


def witnessed(operations: Sequence[Operation], events: Sequence[Event]) -> list[Operation]:
    """The same calls on one key with the outcomes that a watch suggests, and without those that it
    says were never applied.

    An order of these is one of `operations`, too, whatever the events are; if there is none, that
    says nothing.
    """
    made: dict[int, int] = {}
    told = {op.change for op in operations}
    lost = sorted((op for op in operations if op.is_open), key=lambda op: op.begin)
    before = 0
    for event in events:
        if event.revision not in told:
            for op in lost:
                if op.number not in made and _may_have_made(op, event, before):
                    made[op.number] = event.revision
                    break
        before = event.revision
    return [
        op._replace(ending=Ending.DONE, revision=made[op.number]) if op.number in made else op
        for op in operations
        if not op.is_open or op.number in made
    ]


def _may_have_made(operation: Operation, event: Event, before: int) -> bool:
    """Whether the event may be this call's.

    Of several deletions that may, any will do that began no later than the one whose it is: nothing
    tells them apart but when they can have happened at the earliest. So the first one is taken.

    Args:
        before: The revision of the key's last change before the event.
    """
    if operation.kind is Kind.PUT:
        return event.kind is EventKind.PUT and operation.value == event.value
    return (
        operation.kind is Kind.DELETE
        and event.kind is EventKind.DELETE
        and operation.if_revision in (None, before)
    )
