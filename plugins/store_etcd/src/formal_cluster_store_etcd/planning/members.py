"""What etcd says of its members. Pure values; `client.cluster_api` asks for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_IN_SYNC: Final = 0.9  # etcd's own measure, when it is asked to promote


@dataclass(frozen=True, slots=True)
class MemberStatus:
    """What a member says of itself, from memory, with or without a quorum.

    Attributes:
        leader_id: The leader it follows; 0 when it knows of none.
        raft_index: Last entry known to be committed.
        applied_index: Last entry applied to its keys.
        revision: Its store revision.
        db_size: Size of its database file, bytes.
        db_in_use: Of that, what is not free space.
        errors: What it holds against itself, alarms included; empty when all is well.
    """

    cluster_id: int
    member_id: int
    leader_id: int
    raft_term: int
    raft_index: int
    applied_index: int
    revision: int
    version: str
    db_size: int
    db_in_use: int
    is_learner: bool
    errors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ClusterMember:
    """One entry of the member list. `name` is empty until the member has started once."""

    id: int
    name: str
    peer_urls: tuple[str, ...]
    client_urls: tuple[str, ...]
    is_learner: bool


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm that is raised for a member.

    Attributes:
        member: Its id.
        kind: `NOSPACE` or `CORRUPT`.
    """

    member: int
    kind: str


def in_sync(index: int, newest: int) -> bool:
    """Whether a member that knows of log entry `index` is close enough to the newest one."""
    return index >= _IN_SYNC * newest
