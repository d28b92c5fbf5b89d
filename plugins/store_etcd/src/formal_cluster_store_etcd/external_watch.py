"""Follows the external etcd: whether a quorum answers, who its members are, and how they do.

Only the configured endpoints are asked: what members advertise may not be reachable from here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Final

from formal_cluster.errors import StoreError, Unavailable
from formal_cluster.model import Member, Role, StoreState, StoreStatus
from formal_cluster_store_etcd.client.cluster_api import ClusterApi
from formal_cluster_store_etcd.client.etcd_client import EtcdClient
from formal_cluster_store_etcd.planning.members import ClusterMember, MemberStatus
from formal_cluster_store_etcd.settings import EtcdSettings
from formal_cluster_store_etcd.tls.credentials import TlsUnusable
from formal_cluster_store_etcd.tls.keeper import CredentialsKeeper
from formal_cluster_store_etcd.urls import Endpoint, endpoint_of

_PING_S: Final = 0.5
_MEMBERS_S: Final = 3.0
_SERVING_S: Final = 2.0
_UNANSWERED: Final = "no quorum has answered at store.etcd.endpoints yet, or for a few seconds"


class ExternalWatch:
    """What is known of the cluster behind `store.etcd.endpoints`; it is followed by `run`.

    Args:
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        settings: EtcdSettings,
        client: EtcdClient,
        logger: logging.Logger,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._endpoints = tuple(map(endpoint_of, settings.endpoints))
        self._client = client
        self._api = ClusterApi()
        self._logger = logger
        self._clock = clock
        self._answered_at: float | None = None
        self._cluster_id: str | None = None
        self._revision: int | None = None
        self._problem: str | None = None
        self._refused = False
        self._members: tuple[ClusterMember, ...] = ()
        self._leader: int = 0
        self._member_at: dict[Endpoint, int] = {}
        self._healthy: dict[int, bool] = {}
        self._tls: CredentialsKeeper | None = None
        if settings.tls is not None:
            self._tls = CredentialsKeeper(
                settings.tls, own_address=None, connecting=(client, self._api), logger=logger
            )

    async def run(self) -> None:
        """Follow the cluster until cancelled."""
        async with asyncio.TaskGroup() as group:
            if self._tls is not None:
                group.create_task(self._tls.run())
                await self._await_certificates(self._tls)
            self._client.set_endpoints(self._endpoints)
            group.create_task(self._ping())
            group.create_task(self._look())

    def status(self) -> StoreStatus:
        """What `StateStore.status` answers while the store runs. Callable from any thread."""
        stale_s = None if self._answered_at is None else self._clock() - self._answered_at
        state = self._state(stale_s)
        names = {member.id: member.name or f"{member.id:x}" for member in self._members}
        return StoreStatus(
            state=state,
            role=None if self._cluster_id is None else Role.CLIENT,
            leader=names.get(self._leader),
            members=tuple(
                Member(
                    id=names[member.id],
                    address=endpoint_of(member.peer_urls[0]).host,
                    role=Role.LEARNER if member.is_learner else Role.VOTER,
                    healthy=self._healthy.get(member.id),
                )
                for member in self._members
            ),
            cluster_id=self._cluster_id,
            revision=self._revision,
            stale_ms=None if stale_s is None else round(stale_s * 1_000),
            last_error=None if state is StoreState.SERVING else self._problem or _UNANSWERED,
            warnings=() if self._tls is None else self._tls.warnings,
        )

    def _state(self, stale_s: float | None) -> StoreState:
        if stale_s is not None and stale_s < _SERVING_S:
            return StoreState.SERVING
        if self._refused:
            return StoreState.FAILED
        return StoreState.STARTING if stale_s is None else StoreState.NO_QUORUM

    async def _await_certificates(self, tls: CredentialsKeeper) -> None:
        while True:
            try:
                await tls.renew()
            except TlsUnusable as error:
                self._fail(error, refused=True)
                await asyncio.sleep(_PING_S)
            else:
                return

    async def _ping(self) -> None:
        while True:
            try:
                answer = await self._client.ping()
            except Unavailable as error:
                self._fail(error, refused=False)
            except StoreError as error:
                self._fail(error, refused=True)
            else:
                self._answered_at, self._revision = self._clock(), answer.revision
                self._recognise(f"{answer.cluster_id:x}")
                self._problem, self._refused = None, False
            await asyncio.sleep(_PING_S)

    def _recognise(self, cluster_id: str) -> None:
        if self._cluster_id not in (None, cluster_id):
            self._logger.error(
                "another etcd cluster answers at store.etcd.endpoints",
                extra={"before": self._cluster_id, "cluster_id": cluster_id},
            )
        self._cluster_id = cluster_id

    def _fail(self, error: StoreError, *, refused: bool) -> None:
        problem = str(error)
        if problem != self._problem:
            self._logger.warning("the external etcd does not serve", extra={"reason": problem})
        self._problem, self._refused = problem, refused

    async def _look(self) -> None:
        while True:
            statuses = await asyncio.gather(*map(self._status, self._endpoints))
            for endpoint, status in zip(self._endpoints, statuses, strict=True):
                if status is not None:
                    self._member_at[endpoint] = status.member_id
                if endpoint in self._member_at:
                    alive = status is not None and status.leader_id != 0
                    self._healthy[self._member_at[endpoint]] = alive
            answers = [status for status in statuses if status is not None]
            newest = max(answers, key=lambda status: status.raft_term, default=None)
            self._leader = 0 if newest is None else newest.leader_id
            await self._list()
            await asyncio.sleep(_MEMBERS_S)

    async def _status(self, endpoint: Endpoint) -> MemberStatus | None:
        try:
            return await self._api.status(endpoint)
        except StoreError as error:
            self._logger.debug("an endpoint gives no status", extra={"reason": str(error)})
            return None

    async def _list(self) -> None:
        for endpoint in self._endpoints:
            with contextlib.suppress(StoreError):
                self._members = (await self._api.members(endpoint)).members
                return
