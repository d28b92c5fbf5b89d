"""Carries out the membership changes that `membership` decides, while our member leads."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from formal_cluster.errors import StoreError
from formal_cluster_store_etcd.client.cluster_api import ClusterApi
from formal_cluster_store_etcd.client.cluster_errors import ClusterUnhealthy
from formal_cluster_store_etcd.client.etcd_client import EtcdClient
from formal_cluster_store_etcd.journal import Book, Journal
from formal_cluster_store_etcd.peers.cluster_watch import ClusterWatch
from formal_cluster_store_etcd.peers.leader_memory import LeaderMemory
from formal_cluster_store_etcd.peers.views import Views
from formal_cluster_store_etcd.planning import presence
from formal_cluster_store_etcd.planning.changes import (
    AddLearner,
    Change,
    MoveLeader,
    Observation,
    Promote,
    Remove,
    Rules,
    UpdateAddress,
    Wait,
)
from formal_cluster_store_etcd.planning.members import ClusterMember
from formal_cluster_store_etcd.planning.membership import plan
from formal_cluster_store_etcd.urls import Endpoint, endpoint_of

_TICK_S: Final = 0.5
_AFTER_A_CHANGE_S: Final = 0.1


class Leader:
    """The leader's duties. `run` does nothing while another member leads.

    Args:
        dry_run: Decide, and write it to the journal, but change nothing.
    """

    def __init__(
        self,
        *,
        own_id: str,
        rules: Rules,
        dry_run: bool,
        client: EtcdClient,
        api: ClusterApi,
        watch: ClusterWatch,
        views: Views,
        logger: logging.Logger,
        book: Book,
    ) -> None:
        self._own_id = own_id
        self._rules = rules
        self._dry_run = dry_run
        self._client = client
        self._api = api
        self._watch = watch
        self._views = views
        self._logger = logger
        self._journal = Journal(logger, "membership", book)
        self._memory: LeaderMemory | None = None

    async def run(self) -> None:
        """Look after the members until cancelled."""
        while True:
            own, changed = self._watch.leading, False
            if own is None:
                self._memory = None
            else:
                self._memory = self._memory or LeaderMemory()
                changed = await self._tend(own, endpoint_of(own.client_urls[0]), self._memory)
            await asyncio.sleep(_AFTER_A_CHANGE_S if changed else _TICK_S)

    async def _tend(self, own: ClusterMember, endpoint: Endpoint, memory: LeaderMemory) -> bool:
        """Take one step, if there is one to take; whether it was taken."""
        try:
            seen = await self._observe(own, endpoint, memory)
        except StoreError as error:
            self._logger.debug("the members cannot be looked after", extra={"error": str(error)})
            return False
        step = plan(seen)
        self._journal.write(step, step.evidence)
        if isinstance(step, Wait):
            return False
        if self._dry_run:
            self._journal.refused("store.etcd.dry_run is set")
            return False
        try:
            await self._carry_out(step, endpoint)
        except StoreError as error:
            # Not done, or not known whether it was: the next look at the member list tells.
            memory.add_refused = isinstance(step, AddLearner) and isinstance(
                error, ClusterUnhealthy
            )
            self._journal.refused(str(error))
            return False
        memory.add_refused = False
        if isinstance(step, Remove) and step.evicted is not None:
            memory.evict(step.evicted)
        self._journal.done()
        return True

    async def _observe(
        self, own: ClusterMember, endpoint: Endpoint, memory: LeaderMemory
    ) -> Observation:
        listed = await self._api.members(endpoint)
        present = presence.read((await self._client.list(presence.PREFIX)).entries)
        self._watch.remember(present)
        return Observation(
            own_instance=self._own_id,
            own_member=own.id,
            members=memory.assess(listed.members, self._watch.seen),
            presences=present,
            view=await self._views.latest(),
            rules=self._rules,
            leaving_s=memory.leaving_s(present),
            settled_s=memory.settled_s(present),
            evicted=memory.evicted,
            add_refused=memory.add_refused,
        )

    async def _carry_out(self, step: Change, endpoint: Endpoint) -> None:
        match step:
            case AddLearner(peer_url=peer_url):
                await self._api.add_learner(endpoint, (peer_url,))
            case Promote(member_id=member_id):
                await self._api.promote(endpoint, member_id)
            case Remove(member_id=member_id):
                await self._api.remove(endpoint, member_id)
            case MoveLeader(member_id=member_id):
                await self._api.move_leader(endpoint, member_id)
            case UpdateAddress(member_id=member_id, peer_url=peer_url):
                await self._api.update_peer_urls(endpoint, member_id, (peer_url,))
