"""Brings an instance to where its etcd is to be started, by the steps that `formation` decides."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from formal_cluster.model import InstanceState
from formal_cluster_store_etcd.journal import Journal
from formal_cluster_store_etcd.member.workplace import Workplace
from formal_cluster_store_etcd.peers.cluster_watch import ClusterWatch
from formal_cluster_store_etcd.peers.probe import Prober
from formal_cluster_store_etcd.peers.views import Views
from formal_cluster_store_etcd.planning import formation
from formal_cluster_store_etcd.planning.steps import (
    Found,
    Join,
    Observation,
    Retract,
    Rules,
    SetAside,
    Start,
    Wait,
    WithdrawConsent,
)
from formal_cluster_store_etcd.planning.transitions import identity_after

_TICK_S: Final = 0.5
_FOLLOWED: Final = "its members"


class Former:
    """Observes, asks the planner, carries the step out.

    Args:
        on_wait: Called with what is waited for.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        *,
        rules: Rules,
        prober: Prober,
        views: Views,
        watch: ClusterWatch,
        logger: logging.Logger,
        on_wait: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rules = rules
        self._prober = prober
        self._views = views
        self._watch = watch
        self._journal = Journal(logger, "formation")
        self._on_wait = on_wait
        self._clock = clock
        self._since = clock()

    async def settle(self, place: Workplace) -> Start | Found:
        """Take steps until one is to start etcd; the identity is persisted for it.

        Raises:
            CannotStart: A step could not be persisted.
        """
        while True:
            seen = await self._observe(place)
            step = formation.plan(seen, self._rules)
            self._journal.write(step, step.evidence)
            await place.become(identity_after(step, seen.own))
            match step:
                case Start() | Found():
                    return step
                case SetAside():
                    await place.start_over()
                case Join():
                    self._watch.follow(step.cluster_id, step.members)
                    self._on_wait(f"{step.evidence}; its leader is asked to add this instance")
                    await asyncio.sleep(_TICK_S)
                case Wait() | Retract() | WithdrawConsent():
                    self._on_wait(step.evidence)
                    await asyncio.sleep(_TICK_S)

    async def _observe(self, place: Workplace) -> Observation:
        """A new round. Once a cluster is joined as a client, its members are all to be asked."""
        own, followed = place.own, self._watch.fresh
        if followed is not None and not own.has_data:
            return Observation(own, place.peer_url, None, 0, 0, {_FOLLOWED: followed})
        view = await self._views.latest()
        named = view.instances if view is not None else ()
        alive = [i for i in named if i.state is not InstanceState.STOPPED]
        return Observation(
            own=own,
            peer_url=place.peer_url,
            expected=named if view is not None and view.complete else None,
            stable_s=self._views.stable_s,
            waited_s=self._clock() - self._since,
            probes=await self._prober.ask_all([i for i in alive if i.id != own.instance]),
        )
