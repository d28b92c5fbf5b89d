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
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

from formal_cluster_store_etcd.client import rpc
from formal_cluster_store_etcd.client.cluster_errors import refusals
from formal_cluster_store_etcd.client.errors_map import RevisionCompacted
from formal_cluster_store_etcd.client.outcome import outcome
from formal_cluster_store_etcd.planning.members import Alarm, ClusterMember, MemberStatus
from formal_cluster_store_etcd.urls import Endpoint

_DEFRAGMENT_S: Final = 300.0


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
            db_in_use=response.dbSizeInUse,
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

    async def update_peer_urls(
        self, endpoint: Endpoint, member_id: int, peer_urls: Sequence[str]
    ) -> None:
        """Tell the cluster where a member is reached by the others from now on.

        Before 3.5.31 and 3.6.12 etcd makes a learner that is updated a voter: never do that.

        Raises:
            PeerUrlExists: Another member has such a URL.
            MemberNotFound: There is no such member.
        """
        request = rpc.MemberUpdateRequest(ID=member_id, peerURLs=peer_urls)
        await self._change(endpoint, lambda c: rpc.ClusterStub(c).MemberUpdate, request)

    async def move_leader(self, leader: Endpoint, target_id: int) -> None:
        """Hand the leadership over; must be asked of the leader.

        Raises:
            NotLeader: The member asked does not lead.
            BadTransferee: The target cannot lead: it is a learner or not a member.
        """
        request = rpc.MoveLeaderRequest(targetID=target_id)
        await self._change(leader, lambda c: rpc.MaintenanceStub(c).MoveLeader, request)

    async def alarms(self, endpoint: Endpoint) -> tuple[Alarm, ...]:
        """The alarms that are raised now. Needs a quorum."""
        request = rpc.AlarmRequest(action=rpc.AlarmRequest.GET)
        async with self._channel(endpoint) as channel:
            call = rpc.MaintenanceStub(channel).Alarm
            response = await self._call(endpoint, call, request, write=False)
        return tuple(
            Alarm(alarm.memberID, rpc.AlarmType.Name(alarm.alarm)) for alarm in response.alarms
        )

    async def disarm(self, endpoint: Endpoint, alarm: Alarm) -> None:
        """Take an alarm back; it is raised again if its cause is still there."""
        request = rpc.AlarmRequest(
            action=rpc.AlarmRequest.DEACTIVATE,
            memberID=alarm.member,
            alarm=rpc.AlarmType.Value(alarm.kind),
        )
        await self._change(endpoint, lambda c: rpc.MaintenanceStub(c).Alarm, request)

    async def compact(self, endpoint: Endpoint, revision: int) -> None:
        """Drop the history before `revision` on all members; here it is done on return.

        A revision that was compacted before is no error.
        """
        request = rpc.CompactionRequest(revision=revision, physical=True)
        with suppress(RevisionCompacted):
            await self._change(endpoint, lambda c: rpc.KVStub(c).Compact, request)

    async def defragment(self, endpoint: Endpoint) -> None:
        """Have this one member write its database file anew, without the free space.

        It answers nothing else meanwhile, some seconds for each GiB.
        """
        request = rpc.DefragmentRequest()
        await self._change(
            endpoint,
            lambda c: rpc.MaintenanceStub(c).Defragment,
            request,
            timeout_s=_DEFRAGMENT_S,
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
        *,
        timeout_s: float | None = None,
    ) -> rpc.Message:
        async with self._channel(endpoint) as channel:
            # Proves the connection: what fails before the change is sent is `Unavailable`.
            await self._status(endpoint, channel)
            return await self._call(
                endpoint, method(channel), request, write=True, timeout_s=timeout_s
            )

    async def _call(
        self,
        endpoint: Endpoint,
        call: rpc.UnaryCall,
        request: rpc.Message,
        *,
        write: bool,
        require_leader: bool = True,
        timeout_s: float | None = None,
    ) -> rpc.Message:
        where = str(endpoint)
        metadata = rpc.REQUIRE_LEADER if require_leader else None
        with outcome(where, write=write), refusals(where):
            return await call(request, timeout=timeout_s or self._timeout_s, metadata=metadata)


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
