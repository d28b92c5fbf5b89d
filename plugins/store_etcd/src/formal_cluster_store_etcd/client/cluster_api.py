"""Asking one given member about itself and its cluster, and changing the cluster through it.

For the supervisor, which must know *which* member answered: nothing here switches endpoints or
repeats a call. Every call opens a connection of its own, so that no earlier failure colours it.

Hazards:
- A learner, and a member without a quorum, answers `status` only (plus, a voter, `members`).
- `members` is linearizable from etcd 3.5 on. An older member answers from what it has applied, so
  one that was cut off shows yesterday's list.
- A member that removes itself may stop before it answers: `OutcomeUnknown`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from formal_cluster_store_etcd.client import rpc
from formal_cluster_store_etcd.client.cluster_errors import refusals
from formal_cluster_store_etcd.client.outcome import outcome
from formal_cluster_store_etcd.planning.members import ClusterMember, MemberStatus
from formal_cluster_store_etcd.urls import Endpoint


@dataclass(frozen=True, slots=True)
class MemberList:
    """The members, and by whom the list was given."""

    cluster_id: int
    answered_by: int
    members: tuple[ClusterMember, ...]


@dataclass(frozen=True, slots=True)
class AddedMember:
    """The member that was added, and all members including it."""

    member: ClusterMember
    members: tuple[ClusterMember, ...]


@dataclass(frozen=True, slots=True)
class ClusterAlarm:
    """An alarm that is raised for a member: `NOSPACE` or `CORRUPT`."""

    member_id: int
    name: str


class ClusterApi:
    """Calls about the cluster, each to one explicit member.

    Every call raises `Unavailable` when the member did not answer or certainly did not act. Changes
    raise `OutcomeUnknown` when they may have been made, and a `ChangeRefused` when they were
    certainly not.

    Args:
        tls: Connect by TLS.
        status_timeout_s: Deadline of `status`, seconds.
        timeout_s: Deadline of every other call, seconds.
    """

    def __init__(
        self,
        tls: rpc.TlsMaterial | None = None,
        *,
        status_timeout_s: float = 1.0,
        timeout_s: float = 5.0,
    ) -> None:
        self._tls = tls
        self._status_timeout_s = status_timeout_s
        self._timeout_s = timeout_s

    def set_tls(self, tls: rpc.TlsMaterial) -> None:
        """Connect with this from now on."""
        self._tls = tls

    async def status(self, endpoint: Endpoint) -> MemberStatus:
        """A member's own condition. Needs no quorum; learners answer it too."""
        async with self._channel(endpoint) as channel:
            response = await self._status(endpoint, channel)
        header = response.header
        return MemberStatus(
            cluster_id=header.cluster_id,
            member_id=header.member_id,
            leader_id=response.leader,
            raft_term=response.raftTerm,
            raft_index=response.raftIndex,
            applied_index=response.raftAppliedIndex,
            revision=header.revision,
            version=response.version,
            db_size=response.dbSize,
            is_learner=response.isLearner,
            errors=tuple(response.errors),
        )

    async def members(self, endpoint: Endpoint, *, linearizable: bool = True) -> MemberList:
        """The member list as a voter gives it.

        Args:
            linearizable: Confirm it with a quorum (etcd 3.5 and later) or at least ask a member
                that has a leader (before 3.5). False: take what a member without quorum says.
        """
        request = rpc.MemberListRequest(linearizable=linearizable)
        async with self._channel(endpoint) as channel:
            call = rpc.ClusterStub(channel).MemberList
            response = await self._call(
                endpoint, call, request, write=False, require_leader=linearizable
            )
        header = response.header
        return MemberList(header.cluster_id, header.member_id, _members(response.members))

    async def add_learner(self, endpoint: Endpoint, peer_urls: Sequence[str]) -> AddedMember:
        """Add a member without a vote. It must be started before the next one is added.

        Raises:
            PeerUrlExists: A member with such a URL exists.
            TooManyLearners: Promote or remove the present learner first.
            ClusterUnhealthy: Not all voters are connected to each other.
        """
        request = rpc.MemberAddRequest(peerURLs=peer_urls, isLearner=True)
        response = await self._change(endpoint, lambda c: rpc.ClusterStub(c).MemberAdd, request)
        return AddedMember(_member(response.member), _members(response.members))

    async def promote(self, endpoint: Endpoint, member_id: int) -> None:
        """Give a learner its vote.

        Raises:
            LearnerNotReady: It has not caught up with the leader yet; ask again later.
            NotALearner: It has a vote already.
            MemberNotFound: There is no such member.
            ClusterUnhealthy: Too few voters are started.
        """
        request = rpc.MemberPromoteRequest(ID=member_id)
        await self._change(endpoint, lambda c: rpc.ClusterStub(c).MemberPromote, request)

    async def remove(self, endpoint: Endpoint, member_id: int) -> None:
        """Remove a member for good; its id never comes back.

        Raises:
            MemberNotFound: There is no such member, perhaps because it was removed before.
            ClusterUnhealthy: Too few of the voters that would be left are started.
        """
        request = rpc.MemberRemoveRequest(ID=member_id)
        await self._change(endpoint, lambda c: rpc.ClusterStub(c).MemberRemove, request)

    async def move_leader(self, leader: Endpoint, target_id: int) -> None:
        """Hand the leadership over; must be asked of the leader.

        Raises:
            NotLeader: The member asked does not lead.
            BadTransferee: The target cannot lead: it is a learner or not a member.
        """
        request = rpc.MoveLeaderRequest(targetID=target_id)
        await self._change(leader, lambda c: rpc.MaintenanceStub(c).MoveLeader, request)

    async def alarms(self, endpoint: Endpoint) -> tuple[ClusterAlarm, ...]:
        """The alarms that are raised now. Needs a quorum."""
        request = rpc.AlarmRequest(action=rpc.AlarmRequest.GET)
        async with self._channel(endpoint) as channel:
            call = rpc.MaintenanceStub(channel).Alarm
            response = await self._call(endpoint, call, request, write=False)
        return tuple(
            ClusterAlarm(alarm.memberID, rpc.AlarmType.Name(alarm.alarm))
            for alarm in response.alarms
        )

    @asynccontextmanager
    async def _channel(self, endpoint: Endpoint) -> AsyncGenerator[rpc.Channel, None]:
        channel = rpc.open_channel(str(endpoint), self._tls)
        try:
            yield channel
        finally:
            await channel.close()

    async def _status(self, endpoint: Endpoint, channel: rpc.Channel) -> rpc.Message:
        call = rpc.MaintenanceStub(channel).Status
        with outcome(str(endpoint), write=False):
            return await call(rpc.StatusRequest(), timeout=self._status_timeout_s)

    async def _change(
        self,
        endpoint: Endpoint,
        method: Callable[[rpc.Channel], rpc.UnaryCall],
        request: rpc.Message,
    ) -> rpc.Message:
        async with self._channel(endpoint) as channel:
            # Proves the connection: what fails before the change is sent is `Unavailable`.
            await self._status(endpoint, channel)
            return await self._call(endpoint, method(channel), request, write=True)

    async def _call(
        self,
        endpoint: Endpoint,
        call: rpc.UnaryCall,
        request: rpc.Message,
        *,
        write: bool,
        require_leader: bool = True,
    ) -> rpc.Message:
        where = str(endpoint)
        metadata = rpc.REQUIRE_LEADER if require_leader else None
        with outcome(where, write=write), refusals(where):
            return await call(request, timeout=self._timeout_s, metadata=metadata)


def _member(member: rpc.Message) -> ClusterMember:
    return ClusterMember(
        id=member.ID,
        name=member.name,
        peer_urls=tuple(member.peerURLs),
        client_urls=tuple(member.clientURLs),
        is_learner=member.isLearner,
    )


def _members(members: Iterable[rpc.Message]) -> tuple[ClusterMember, ...]:
    return tuple(map(_member, members))
