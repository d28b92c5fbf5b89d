"""Every name of gRPC and of etcd's wire protocol that this package uses, and how we connect.

We use aetcd's generated stubs over channels of our own, not its client (decision 0001). Neither
aetcd nor grpc ships types: this is the one module that imports them, all else imports from here.

Hazards:
- A call on a channel that is closed meanwhile ends in `CancelledError`, as if the *caller* had been
  cancelled; `outcome` tells the two apart.
- `grpc.keepalive_timeout_ms` alone does not notice a stopped peer in current gRPC releases;
  `grpc.http2.ping_timeout_ms` does.
- etcd closes connections that ping more often than its `--grpc-keepalive-min-time` (default 5 s).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import grpc
from aetcd.rpc import (
    AlarmRequest,
    AlarmType,
    ClusterStub,
    Compare,
    DeleteRangeRequest,
    KVStub,
    LeaseGrantRequest,
    LeaseRevokeRequest,
    LeaseStub,
    MaintenanceStub,
    MemberAddRequest,
    MemberListRequest,
    MemberPromoteRequest,
    MemberRemoveRequest,
    MoveLeaderRequest,
    PutRequest,
    RangeRequest,
    RequestOp,
    SnapshotRequest,
    StatusRequest,
    TxnRequest,
    WatchCreateRequest,
    WatchProgressRequest,
    WatchRequest,
    WatchStub,
)
from grpc import StatusCode
from grpc.aio import EOF, AioRpcError, UsageError

__all__ = [
    "EOF",
    "REQUIRE_LEADER",
    "AioRpcError",
    "AlarmRequest",
    "AlarmType",
    "Channel",
    "ClusterStub",
    "Compare",
    "DeleteRangeRequest",
    "KVStub",
    "LeaseGrantRequest",
    "LeaseRevokeRequest",
    "LeaseStub",
    "MaintenanceStub",
    "MemberAddRequest",
    "MemberListRequest",
    "MemberPromoteRequest",
    "MemberRemoveRequest",
    "Message",
    "MoveLeaderRequest",
    "PutRequest",
    "RangeRequest",
    "RequestOp",
    "SnapshotRequest",
    "StatusCode",
    "StatusRequest",
    "TlsMaterial",
    "TxnRequest",
    "UnaryCall",
    "UsageError",
    "WatchCreateRequest",
    "WatchProgressRequest",
    "WatchRequest",
    "WatchStub",
    "is_ready",
    "open_channel",
]

Message: TypeAlias = Any
"""A protobuf message."""
Channel: TypeAlias = Any
UnaryCall: TypeAlias = Callable[..., Awaitable[Message]]

REQUIRE_LEADER: Final = (("hasleader", "true"),)
"""Metadata: refuse at once (and cut streams) at a member that has lost its leader."""

_CHANNEL_OPTIONS: Final = (
    # A peer that is stopped or cut off is noticed within 8 s, whatever is asked of it; calls and
    # watches have shorter deadlines of their own.
    ("grpc.keepalive_time_ms", 6_000),
    ("grpc.keepalive_timeout_ms", 2_000),
    ("grpc.http2.ping_timeout_ms", 2_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # One call is one attempt, so that an error says what became of the request.
    ("grpc.enable_retries", 0),
    ("grpc.service_config_disable_resolution", 1),
    # A watch that catches up gets up to a thousand revisions in one message.
    ("grpc.max_receive_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
)


@dataclass(frozen=True, slots=True)
class TlsMaterial:
    """PEM bytes for TLS: whom to trust, and who we are if the server asks."""

    ca: bytes
    certificate: bytes | None = None
    key: bytes | None = field(default=None, repr=False)


def open_channel(target: str, tls: TlsMaterial | None) -> Channel:
    """A channel that connects when it is first used. Must be called in a running event loop."""
    if tls is None:
        return grpc.aio.insecure_channel(target, options=_CHANNEL_OPTIONS)
    credentials = grpc.ssl_channel_credentials(tls.ca, tls.key, tls.certificate)
    return grpc.aio.secure_channel(target, credentials, options=_CHANNEL_OPTIONS)


def is_ready(channel: Channel) -> bool:
    """Whether the channel holds a connection that it believes to be alive. Costs under 1 µs."""
    return channel.get_state() is grpc.ChannelConnectivity.READY
