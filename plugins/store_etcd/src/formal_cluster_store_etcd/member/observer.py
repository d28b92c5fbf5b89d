"""One round of observations: what discovery says, and what the others answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from formal_cluster.model import Instance, InstanceState
from formal_cluster_store_etcd.member.workplace import Workplace
from formal_cluster_store_etcd.names import is_member_of
from formal_cluster_store_etcd.peers.probe import Prober
from formal_cluster_store_etcd.peers.views import Views
from formal_cluster_store_etcd.planning.copies import Copy
from formal_cluster_store_etcd.planning.identity import Identity
from formal_cluster_store_etcd.planning.observations import LiveEtcd
from formal_cluster_store_etcd.planning.steps import Observation


class Observer:
    """Makes observations for the planners.

    Args:
        clock: Seconds that only grow.
    """

    def __init__(
        self, prober: Prober, views: Views, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._prober = prober
        self._views = views
        self._clock = clock
        self._since = clock()

    async def look(self, place: Workplace, *, running: Copy | None = None) -> Observation:
        """A new round.

        Args:
            running: How far the etcd that runs here has come, if one does.

        Raises:
            CannotStart: The data directory cannot be read.
        """
        own = place.own
        view = await self._views.latest()
        named = view.instances if view is not None else ()
        probes = await self._prober.ask_all(_to_ask(named, own))
        if not any(isinstance(probe, LiveEtcd) and probe.serving for probe in probes.values()):
            await place.copies.read()
        return Observation(
            own=own,
            peer_url=place.peer_url,
            expected=named if view is not None and view.complete else None,
            stable_s=self._views.stable_s,
            waited_s=self._clock() - self._since,
            probes=probes,
            copy_held=running or place.copies.best(own),
        )


def _to_ask(named: Sequence[Instance], own: Identity) -> Sequence[Instance]:
    """The others; those that have stopped only if it matters whether they have."""
    return [
        instance
        for instance in named
        if instance.id != own.instance
        and (
            instance.state is not InstanceState.STOPPED
            or any(is_member_of(voter, instance.id) for voter in own.voters)
        )
    ]
