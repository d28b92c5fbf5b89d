"""Watches over an etcd that runs, and says when it is to be stopped; `vigil` decides.

While a quorum answers, everyone is asked now and then whether another cluster runs too. While none
does, they are asked all the time, and an operator's request is looked for.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from formal_cluster.errors import StoreError
from formal_cluster_store_etcd.client.cluster_api import ClusterApi
from formal_cluster_store_etcd.journal import DRY_RUN, Book, Journal
from formal_cluster_store_etcd.member.observer import Observer
from formal_cluster_store_etcd.member.workplace import Workplace
from formal_cluster_store_etcd.peers.cluster_watch import ClusterWatch
from formal_cluster_store_etcd.planning import vigil
from formal_cluster_store_etcd.planning.copies import Copy
from formal_cluster_store_etcd.planning.steps import Rules

_TICK_S: Final = 0.5
_ROUND_S: Final = 10.0
_ANSWERS_S: Final = 2.0


class Guard:
    """Watches over one run of etcd.

    Attributes:
        advice: What an operator can do about what is wrong; None if nothing is.
        rivalled: Whether another cluster runs that may be the one to stay.
    """

    def __init__(
        self,
        *,
        rules: Rules,
        observer: Observer,
        watch: ClusterWatch,
        api: ClusterApi,
        logger: logging.Logger,
        book: Book,
        dry_run: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rules = rules
        self._observer = observer
        self._watch = watch
        self._api = api
        self._journal = Journal(logger, "vigil", book)
        self._dry_run = dry_run
        self._clock = clock
        self.advice: str | None = None
        self.rivalled = False

    async def until_it_must_stop(self, place: Workplace) -> str:
        """Watch until the etcd in `place` is to be stopped; why.

        Raises:
            CannotStart: The data directory cannot be used any more.
        """
        started, last_round = self._clock(), float("-inf")
        while True:
            await asyncio.sleep(_TICK_S)
            stale_s = (
                self._watch.stale_s if self._watch.cluster_id == place.own.cluster_id else None
            )
            runs_s = self._clock() - started
            if stale_s is not None and stale_s < _ANSWERS_S:
                await self._note_quorum(place)
                if self._clock() - last_round < _ROUND_S:
                    continue
            else:
                await place.heed_operator()
            last_round = self._clock()
            seen = await self._observer.look(place, running=await self._running_copy(place))
            leaderless_s = runs_s if stale_s is None else min(stale_s, runs_s)
            decision = vigil.plan(seen, leaderless_s, self._rules)
            self._journal.write(decision, decision.evidence)
            if isinstance(decision, vigil.StopEtcd):
                if not self._dry_run:
                    return decision.evidence
                self._journal.refused(DRY_RUN)
                continue
            self.advice, self.rivalled = decision.advice, decision.rivalled

    async def _note_quorum(self, place: Workplace) -> None:
        """Keep what a recovery would need to know."""
        voters = {
            member.name: member.peer_urls[0]
            for member in self._watch.seen.members
            if member.name and not member.is_learner
        }
        # What an operator has vouched for was for one loss of the quorum.
        known: dict[str, object] = {"presumed_dead": 0}
        if voters and (voters != place.own.voters or not place.own.voters_index):
            known |= {"voters": voters, "voters_index": self._watch.seen.listed_index}
        await place.change(lambda own: own.model_copy(update=known))
        await place.decline_operator()

    async def _running_copy(self, place: Workplace) -> Copy | None:
        own = place.own
        try:
            status = await self._api.status(place.client_endpoint)
        except StoreError:
            return None
        return Copy(
            epoch=own.epoch,
            cluster_id=own.cluster_id,
            founded_at=own.founded_at,
            term=status.raft_term,
            index=status.raft_index,
            directory="member",
        )
