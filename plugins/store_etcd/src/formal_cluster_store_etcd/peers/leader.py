"""Carries out the membership changes that `membership` decides, while our member leads."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from formal_cluster.errors import StoreError
from formal_cluster_store_etcd.client.cluster_api import ClusterApi, MemberList
from formal_cluster_store_etcd.client.etcd_client import EtcdClient
from formal_cluster_store_etcd.journal import Journal
from formal_cluster_store_etcd.peers.cluster_watch import ClusterWatch
from formal_cluster_store_etcd.peers.views import Views
from formal_cluster_store_etcd.planning import presence
from formal_cluster_store_etcd.planning.members import ClusterMember
from formal_cluster_store_etcd.planning.membership import (
    AddLearner,
    Change,
    Observation,
    Promote,
    Remove,
    SeenMember,
    Wait,
    plan,
)
from formal_cluster_store_etcd.urls import Endpoint, endpoint_of

_TICK_S: Final = 0.5


class Leader:
    """The leader's duties. `run` does nothing while another member leads."""

    def __init__(
        self,
        *,
        own_id: str,
        cap: int,
        client: EtcdClient,
        api: ClusterApi,
        watch: ClusterWatch,
        views: Views,
        logger: logging.Logger,
    ) -> None:
        self._own_id = own_id
        self._cap = cap
        self._client = client
        self._api = api
        self._watch = watch
        self._views = views
        self._journal = Journal(logger, "membership")

    async def run(self) -> None:
        """Look after the members until cancelled."""
        while True:
            own = self._watch.own()
            if own is not None and own.id == self._watch.seen.leader and own.client_urls:
                await self._tend(own, endpoint_of(own.client_urls[0]))
            await asyncio.sleep(_TICK_S)

    async def _tend(self, own: ClusterMember, endpoint: Endpoint) -> None:
        try:
            listed = await self._api.members(endpoint)
            present = presence.read((await self._client.list(presence.PREFIX)).entries)
            self._watch.remember(present)
            step = plan(
                Observation(
                    own_instance=self._own_id,
                    own_member=own.id,
                    members=self._assess(listed),
                    presences=present,
                    view=await self._views.latest(),
                    cap=self._cap,
                )
            )
            self._journal.write(step, step.evidence)
            if not isinstance(step, Wait):
                await self._carry_out(step, endpoint)
        except StoreError as error:
            # Not done, or not known whether it was: the next look at the member list tells.
            self._journal.refused(str(error))

    def _assess(self, listed: MemberList) -> tuple[SeenMember, ...]:
        return tuple(
            SeenMember(
                id=member.id,
                name=member.name,
                peer_urls=member.peer_urls,
                is_learner=member.is_learner,
                healthy=member.id in self._watch.seen.healthy,
            )
            for member in listed.members
        )

    async def _carry_out(self, step: Change, endpoint: Endpoint) -> None:
        match step:
            case AddLearner(peer_url=peer_url):
                await self._api.add_learner(endpoint, (peer_url,))
            case Promote(member_id=member_id):
                await self._api.promote(endpoint, member_id)
            case Remove(member_id=member_id):
                await self._api.remove(endpoint, member_id)
