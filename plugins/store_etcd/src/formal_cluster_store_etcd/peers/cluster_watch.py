"""Follows the cluster: whether a quorum answers, who its members are, and how they do.

Everything is kept in memory, so that the store's status can be read at any time and from any
thread. Members are followed by asking the members themselves, never discovery; the client's
endpoints are set from what they say.
"""

from __future__ import annotations

import asyncio
import logging
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from formal_cluster.errors import StoreError
from formal_cluster_store_etcd.client.cluster_api import ClusterApi, MemberList
from formal_cluster_store_etcd.client.etcd_client import EtcdClient, QuorumAnswer
from formal_cluster_store_etcd.planning.lineage import Lineage
from formal_cluster_store_etcd.planning.members import ClusterMember, MemberStatus
from formal_cluster_store_etcd.planning.observations import LiveEtcd
from formal_cluster_store_etcd.planning.presence import Presence
from formal_cluster_store_etcd.urls import Endpoint, endpoint_of

_FIRST_PING_S: Final = 0.1
_PING_S: Final = 0.5
_MEMBERS_S: Final = 1.0
_CHANGING_MEMBERS_S: Final = 0.3
_INSTANCES_ASKING_EACH_SECOND: Final = 20
_FRESH_S: Final = 2.5


@dataclass(frozen=True, slots=True)
class Members:
    """The members as they were last seen.

    Attributes:
        healthy: Ids of those that answered and know of a leader.
        leader: Id of the leader; 0 when nobody knows of one.
        statuses: What each said that answered, by id.
        listed_index: Log entry up to which the one that listed the members had come, at least.
        at: When they were last listed, by the watch's clock.
    """

    members: tuple[ClusterMember, ...] = ()
    healthy: frozenset[int] = frozenset()
    leader: int = 0
    statuses: Mapping[int, MemberStatus] = field(default_factory=dict)
    listed_index: int = 0
    at: float = float("-inf")


class ClusterWatch:
    """What is known of the cluster that `follow` named.

    Attributes:
        own_member: Name of this instance's member; None while it has none.
        own_endpoint: Where that serves clients.
        leaving: Set it to ask the other members first from now on.

    Args:
        own_id: This instance's id: spreads the clients of a cluster over its members.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        client: EtcdClient,
        api: ClusterApi,
        own_id: str,
        logger: logging.Logger,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._api = api
        self._own_id = own_id
        self._logger = logger
        self._clock = clock
        self._answered_at: float | None = None
        self._instances: dict[str, str] = {}
        self._present = 0
        self.own_member: str | None = None
        self.own_endpoint: Endpoint | None = None
        self.leaving = False
        self.cluster_id: str | None = None
        self.lineage: Lineage | None = None
        self.revision: int | None = None
        self.seen = Members()

    @property
    def following(self) -> bool:
        """Whether there is a cluster to follow."""
        return self.cluster_id is not None

    @property
    def stale_s(self) -> float | None:
        """Seconds since a quorum last answered; None if it never did."""
        return None if self._answered_at is None else self._clock() - self._answered_at

    @property
    def fresh(self) -> LiveEtcd | None:
        """The cluster as a probe would find it, if a quorum answers and the members are known."""
        stale = self.stale_s
        if self.cluster_id is None or stale is None or stale > _FRESH_S:
            return None
        if self._clock() - self.seen.at > _FRESH_S + self._interval_s():
            return None
        return LiveEtcd(self.cluster_id, self.seen.members, serving=True, lineage=self.lineage)

    def own(self) -> ClusterMember | None:
        """This instance's member, if it is one."""
        return next((m for m in self.seen.members if m.name and m.name == self.own_member), None)

    @property
    def leading(self) -> ClusterMember | None:
        """This instance's member while it is the leader and can be asked."""
        own = self.own()
        return own if own is not None and own.id == self.seen.leader and own.client_urls else None

    def instance_of(self, member: ClusterMember) -> str:
        """The instance that a member belongs to, as well as that is known."""
        for key in (member.name, *member.peer_urls):
            if key in self._instances:
                return self._instances[key]
        return member.name.rpartition("-")[0] or " ".join(member.peer_urls)

    def remember(self, presences: Sequence[Presence]) -> None:
        """Learn which instance has which member, and where."""
        members = self.seen.members
        current = {key for member in members for key in (member.name, *member.peer_urls)}
        known = {key: id_ for key, id_ in self._instances.items() if key in current}
        for presence in presences:
            known[presence.member] = known[presence.peer_url] = presence.instance
        self._instances = known
        self._present = len(presences)

    def follow(
        self, cluster_id: str, members: Sequence[ClusterMember], lineage: Lineage | None = None
    ) -> None:
        """Use this cluster from now on."""
        if cluster_id != self.cluster_id:
            self._answered_at, self.seen = None, Members()
        self.cluster_id = cluster_id
        self.lineage = lineage
        self._set_endpoints(members)

    async def run(self) -> None:
        """Follow the cluster until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._ping())
            group.create_task(self._look())

    async def _ping(self) -> None:
        while True:
            if self.following:
                try:
                    answer = await self._client.ping()
                    self._accept(answer)
                except StoreError as error:
                    self._logger.debug("no quorum answers", extra={"error": str(error)})
            await asyncio.sleep(_PING_S if self._answered_at is not None else _FIRST_PING_S)

    def _accept(self, answer: QuorumAnswer) -> None:
        if f"{answer.cluster_id:x}" == self.cluster_id:
            self._answered_at = self._clock()
            self.revision = answer.revision
        else:
            self._logger.error(
                "another cluster answers", extra={"cluster_id": f"{answer.cluster_id:x}"}
            )

    async def look(self) -> None:
        """Ask the members now who they are and how they do."""
        if self.following:
            listed = await self._list()
            self.seen = await self._ask(listed)
            self._set_endpoints(self.seen.members)

    async def _look(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(self._interval_s())

    def _interval_s(self) -> float:
        """Often while a member is on its way, more seldom the more instances there are.

        Not for the leader's own instance, which acts on what it sees.
        """
        if not self.seen.members or any(member.is_learner for member in self.seen.members):
            return _CHANGING_MEMBERS_S
        if self.leading is not None:
            return _MEMBERS_S
        return _MEMBERS_S * max(1.0, self._present / _INSTANCES_ASKING_EACH_SECOND)

    async def _list(self) -> MemberList | None:
        endpoints = list(self._client.endpoints)
        if self.own_endpoint is not None and self.own_endpoint not in endpoints:
            # A learner refuses. But it may have become a voter since, and the voters that told
            # this instance of themselves may all be gone.
            endpoints.append(self.own_endpoint)
        for endpoint in endpoints:
            try:
                listed = await self._api.members(endpoint)
            except StoreError as error:
                self._logger.debug(
                    "a member gives no list", extra={"endpoint": endpoint, "error": str(error)}
                )
                continue
            if f"{listed.cluster_id:x}" == self.cluster_id:
                return listed
        return None

    async def _ask(self, listed: MemberList | None) -> Members:
        members, index = self.seen.members, self.seen.listed_index
        if listed is not None:
            before = self.seen.statuses.get(listed.answered_by)
            members, index = listed.members, 0 if before is None else before.raft_index
        answers = await asyncio.gather(*map(self._status, members))
        statuses = [status for status in answers if status is not None]
        newest = max(statuses, key=lambda status: status.raft_term, default=None)
        return Members(
            members=members,
            healthy=frozenset(status.member_id for status in statuses if status.leader_id),
            leader=newest.leader_id if newest is not None else 0,
            statuses={status.member_id: status for status in statuses},
            listed_index=index,
            at=self.seen.at if listed is None else self._clock(),
        )

    async def _status(self, member: ClusterMember) -> MemberStatus | None:
        for url in member.client_urls:
            try:
                status = await self._api.status(endpoint_of(url))
            except StoreError:
                continue
            if status.member_id == member.id:
                return status
        return None

    def _set_endpoints(self, members: Sequence[ClusterMember]) -> None:
        voters = sorted((m for m in members if m.name and not m.is_learner), key=lambda m: m.id)
        if not voters:
            return
        start = zlib.crc32(self._own_id.encode()) % len(voters)
        spread = voters[start:] + voters[:start]
        spread.sort(key=lambda member: (member.name != self.own_member) is not self.leaving)
        endpoints = [endpoint_of(url) for member in spread for url in member.client_urls]
        if endpoints and endpoints != list(self._client.endpoints):
            self._client.set_endpoints(endpoints)
            self._logger.info(
                "the cluster's endpoints", extra={"endpoints": [str(e) for e in endpoints]}
            )
