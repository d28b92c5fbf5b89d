"""What is known of calls with unknown outcome from what others read later. Pure.

It leaves the search less to guess: a put whose value somebody has read was applied, at the
revision that was read, before that read returned.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

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
