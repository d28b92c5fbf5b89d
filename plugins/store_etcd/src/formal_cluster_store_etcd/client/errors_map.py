"""What a failed gRPC call means for the caller: acted on, not acted on, or nobody knows.

Pure. The rule for a write: it is `Unavailable` only if etcd certainly did not apply it and never
will; every doubt is `OutcomeUnknown`. etcd's texts are matched instead of its status codes, because
it sends several of its errors with the code UNKNOWN.
"""

from __future__ import annotations

from typing import Final

from formal_cluster.errors import NotWritable, OutcomeUnknown, StoreError, Unavailable
from formal_cluster_store_etcd.client.rpc import StatusCode

_REFUSED_BEFORE_PROPOSED: Final = frozenset(
    {
        "etcdserver: no leader",
        "etcdserver: not capable",
        "etcdserver: rpc not supported for learner",
        "etcdserver: too many requests",
        "raft proposal dropped",
        # Checked when the write is applied, before it takes effect: its lease ran out on the way.
        "etcdserver: requested lease not found",
    }
)
_REFUSED_UNTIL_MENDED: Final = {
    "etcdserver: mvcc: database space exceeded": "its database has reached its quota: compact, "
    "defragment, then clear the alarm with `etcdctl alarm disarm`",
    "etcdserver: corrupt cluster": "it has found its data to differ between members: replace the "
    "member named in its log, then clear the alarm with `etcdctl alarm disarm`",
}
_NEVER_SENT: Final = (
    "failed to connect to all addresses",
    "errors resolving ",
    "DNS resolution failed",
)
_REFUSED_FOR_GOOD: Final = frozenset(
    {
        StatusCode.ALREADY_EXISTS,
        StatusCode.FAILED_PRECONDITION,
        StatusCode.INVALID_ARGUMENT,
        StatusCode.NOT_FOUND,
        StatusCode.OUT_OF_RANGE,
        StatusCode.PERMISSION_DENIED,
        StatusCode.UNAUTHENTICATED,
        StatusCode.UNIMPLEMENTED,
    }
)
_REVISION_COMPACTED: Final = "etcdserver: mvcc: required revision has been compacted"
_TOO_LARGE_FOR_SERVER: Final = "grpc: received message larger than max"


class RevisionCompacted(StoreError):
    """A read at a past revision came too late: that revision has been compacted."""


def map_error(code: StatusCode, details: str | None, *, where: str, write: bool) -> StoreError:
    """The error to raise for a call that failed.

    Args:
        code: The call's gRPC status.
        details: The text that came with it.
        where: The endpoint that was called, for the message.
        write: Whether the call would change something, so that its repetition could matter.
    """
    text = details or ""
    said = f"etcd at {where}: {code.name}: {text or 'no details'}"
    if text in _REFUSED_UNTIL_MENDED:
        return NotWritable(f"{said}; {_REFUSED_UNTIL_MENDED[text]}")
    if text in _REFUSED_BEFORE_PROPOSED:
        return Unavailable(said)
    if code is StatusCode.UNAVAILABLE and text.startswith(_NEVER_SENT):
        return Unavailable(said)
    if text == _REVISION_COMPACTED:
        return RevisionCompacted(f"{said}; read again at a newer revision")
    if code in _REFUSED_FOR_GOOD or text.startswith(_TOO_LARGE_FOR_SERVER):
        return StoreError(f"{said}; the request itself is refused, repeating it will not help")
    if write:
        return OutcomeUnknown(f"{said}; it may have been applied, read the key to know")
    return Unavailable(said)
