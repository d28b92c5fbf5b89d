"""Brings an instance to where its etcd is to be started, by the steps that `formation` decides."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from formal_cluster_store_etcd.journal import DRY_RUN, Book, Journal
from formal_cluster_store_etcd.member.observer import Observer
from formal_cluster_store_etcd.member.workplace import Workplace
from formal_cluster_store_etcd.peers.cluster_watch import ClusterWatch
from formal_cluster_store_etcd.planning import formation
from formal_cluster_store_etcd.planning.steps import (
    Fence,
    Found,
    Intend,
    IntendRestore,
    Join,
    Observation,
    Restore,
    Retract,
    RetractRestore,
    Rules,
    SetAside,
    Start,
    Wait,
    WithdrawConsent,
)
from formal_cluster_store_etcd.planning.transitions import identity_after

_TICK_S: Final = 0.5
_HELD_BACK: Final = (Intend, Found, SetAside, Fence, IntendRestore, Restore)
_FOLLOWED: Final = "its members"


class Former:
    """Observes, asks the planner, carries the step out.

    Args:
        dry_run: Take no step that founds a cluster or moves data.
        on_wait: Called with what is waited for.
    """

    def __init__(
        self,
        *,
        rules: Rules,
        observer: Observer,
        watch: ClusterWatch,
        logger: logging.Logger,
        book: Book,
        dry_run: bool,
        on_wait: Callable[[str], None],
    ) -> None:
        self._rules = rules
        self._observer = observer
        self._watch = watch
        self._journal = Journal(logger, "formation", book)
        self._dry_run = dry_run
        self._on_wait = on_wait

    async def settle(self, place: Workplace) -> Start | Found:
        """Take steps until one is to start etcd; the identity is persisted for it.

        Raises:
            CannotStart: A step could not be persisted, or a restoration failed.
        """
        while True:
            seen = await self._observe(place)
            step = formation.plan(seen, self._rules)
            self._journal.write(step, step.evidence)
            if self._dry_run and isinstance(step, _HELD_BACK):
                self._journal.refused(DRY_RUN)
                self._on_wait(f"{DRY_RUN}; it would be time for: {step}")
                await asyncio.sleep(_TICK_S)
                continue
            await place.become(identity_after(step, seen.own))
            match step:
                case Start() | Found():
                    return step
                case SetAside():
                    await place.start_over()
                case Restore():
                    self._on_wait(step.evidence)
                    await place.restore(step.source)
                case Join():
                    self._watch.follow(step.cluster_id, step.members, step.lineage)
                    self._on_wait(f"{step.evidence}; its leader is asked to add this instance")
                    await asyncio.sleep(_TICK_S)
                case Wait() | Retract() | WithdrawConsent() | RetractRestore():
                    self._on_wait(step.evidence)
                    await asyncio.sleep(_TICK_S)

    async def _observe(self, place: Workplace) -> Observation:
        """A new round. Once a cluster is joined as a client, its members are all to be asked."""
        followed = None if place.own.has_data else self._watch.fresh
        if followed is not None and followed.lineage is not None:
            return Observation(place.own, place.peer_url, None, 0, 0, {_FOLLOWED: followed})
        await place.heed_operator()
        return await self._observer.look(place)
