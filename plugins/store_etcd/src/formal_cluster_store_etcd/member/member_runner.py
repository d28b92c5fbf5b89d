"""Runs this instance's etcd for as long as the instance runs.

Prepare, find the place in the cluster, start, make sure that it is ours, wait for its end, and all
over again, with back-off. What keeps it from running is in `problem`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Final

from formal_cluster import backoff
from formal_cluster.errors import StoreError
from formal_cluster.model import Instance
from formal_cluster_store_etcd.client.cluster_api import ClusterApi
from formal_cluster_store_etcd.journal import Book
from formal_cluster_store_etcd.member.etcd_command import command_line, environment
from formal_cluster_store_etcd.member.failures import CannotStart, Cause, explain
from formal_cluster_store_etcd.member.former import Former
from formal_cluster_store_etcd.member.guard import Guard
from formal_cluster_store_etcd.member.observer import Observer
from formal_cluster_store_etcd.member.ports import ensure_free
from formal_cluster_store_etcd.member.process import EtcdProcess
from formal_cluster_store_etcd.member.readiness import NotYet, confirm
from formal_cluster_store_etcd.member.status_server import serve_status
from formal_cluster_store_etcd.member.workplace import Workplace, workplace
from formal_cluster_store_etcd.peers.cluster_watch import ClusterWatch
from formal_cluster_store_etcd.peers.lineage import write_lineage
from formal_cluster_store_etcd.peers.probe import Prober
from formal_cluster_store_etcd.peers.views import Views
from formal_cluster_store_etcd.planning.identity import Stage
from formal_cluster_store_etcd.planning.members import ClusterMember
from formal_cluster_store_etcd.planning.presence import Presence
from formal_cluster_store_etcd.planning.steps import Rules, Start
from formal_cluster_store_etcd.settings import EtcdSettings
from formal_cluster_store_etcd.tls.keeper import CredentialsKeeper

_FIRST_PAUSE_S: Final = 0.3
_LONGEST_PAUSE_S: Final = 10.0
_CONFIRM_S: Final = 0.1
_RAN_WELL_S: Final = 10.0


class EtcdEnded(CannotStart):
    """etcd was started, and has ended without being told to."""


class MemberRunner:
    """This instance's etcd.

    Attributes:
        pid: Process id of etcd while it runs.
        problem: What keeps etcd from running; None if nothing is known to.
        waiting_for: What has to happen before etcd serves.
        stop_grace_s: How long etcd may take to stop by itself, seconds.
    """

    def __init__(
        self,
        *,
        settings: EtcdSettings,
        instance: Instance,
        views: Views,
        watch: ClusterWatch,
        api: ClusterApi,
        tls: CredentialsKeeper | None,
        logger: logging.Logger,
        book: Book,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._rules = Rules(
            settings.genesis_stable_s, settings.genesis_deadline_s, settings.recovery_after_s
        )
        self._instance = instance
        self._views = views
        self._watch = watch
        self._api = api
        self._tls = tls
        self._logger = logger
        self._etcd_logger = logger.getChild("etcd")
        self._book = book
        self._clock = clock
        self._pauses = _pauses()
        self.pid: int | None = None
        self.problem: str | None = None
        self.waiting_for = "the state server is being prepared"
        self.stop_grace_s = settings.stop_grace_s
        self._place: Workplace | None = None
        self._guard: Guard | None = None

    @property
    def advice(self) -> str | None:
        """What an operator can do while there is no quorum; None if nothing is wrong."""
        return self.waiting_for if self._guard is None else self._guard.advice

    @property
    def rivalled(self) -> bool:
        """Whether another cluster runs that may be the one to stay."""
        return self._guard is not None and self._guard.rivalled

    @property
    def presence(self) -> Presence | None:
        """What the cluster is to be told about this instance; None before it is prepared."""
        return None if self._place is None else self._place.presence

    async def run(self) -> None:
        """Run etcd until cancelled; it is stopped then."""
        settings = self._settings
        async with Prober(settings.client_port, settings.peer_port, self._tls) as prober:
            observer = Observer(prober, self._views)
            former = Former(
                rules=self._rules,
                observer=observer,
                watch=self._watch,
                logger=self._logger,
                book=self._book,
                dry_run=self._settings.dry_run,
                on_wait=self._wait_for,
            )
            pause = 0.0
            while True:
                try:
                    async with workplace(
                        settings, self._instance, self._tls, self._logger
                    ) as place:
                        guard = Guard(
                            rules=self._rules,
                            observer=observer,
                            watch=self._watch,
                            api=self._api,
                            logger=self._logger,
                            book=self._book,
                            dry_run=settings.dry_run,
                        )
                        await self._run_once(place, former, guard, prober, pause)
                        pause = 0.0
                except EtcdEnded as error:
                    self._report(error)
                    pause = next(self._pauses)
                except CannotStart as error:
                    self._report(error)
                    await asyncio.sleep(next(self._pauses))

    async def _run_once(
        self, place: Workplace, former: Former, guard: Guard, prober: Prober, pause: float
    ) -> None:
        """From preparation to the end of etcd. Returns if it is to be started over at once."""
        incarnation, had_data = place.own.incarnation, place.directory.has_data
        async with serve_status(
            place.peer_endpoint,
            lambda: place.status(self.problem),
            None if self._tls is None else self._tls.server,
        ):
            await asyncio.sleep(pause)
            if not pause:
                self.problem = None
            self._place = place
            step = await former.settle(place)
        if had_data and place.own.incarnation == incarnation and not place.directory.has_data:
            # Moved away meanwhile. Without it, etcd would be the same member with an empty log, one
            # that has forgotten what it voted for and what it acknowledged.
            return
        self._watch.own_member = place.own.member
        self._watch.own_endpoint = place.client_endpoint
        ensure_free(place.client_endpoint)
        ensure_free(place.peer_endpoint)
        initial_cluster = step.initial_cluster if isinstance(step, Start) else None
        process = await EtcdProcess.launch(
            command_line(place.binary, self._settings, place.member, initial_cluster),
            environment(os.environ),
            self._etcd_logger,
        )
        self.pid = process.pid
        self._logger.info("etcd started", extra={"pid": process.pid, "member": place.own.member})
        try:
            self._guard = guard
            reason = await self._end(
                self._serve(process, place, prober), guard.until_it_must_stop(place)
            )
            if reason is not None:
                self._logger.warning("etcd is stopped", extra={"reason": reason})
                return
            failure = explain(await process.wait(), process.complaints, place.place)
        finally:
            self._guard = None
            await process.stop(self.stop_grace_s)
            self.pid = None
        if failure.cause is not Cause.REMOVED:
            raise EtcdEnded(failure.message)
        self._logger.warning("etcd ended", extra={"reason": failure.message})
        await place.start_over()

    async def _end(
        self, served: Coroutine[None, None, None], guarded: Coroutine[None, None, str]
    ) -> str | None:
        """Wait until etcd has ended, or is to be stopped: why, in that case."""
        serving, guarding = asyncio.create_task(served), asyncio.create_task(guarded)
        try:
            await asyncio.wait({serving, guarding}, return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                serving.result()
                return None
            return guarding.result()
        finally:
            serving.cancel()
            guarding.cancel()
            await asyncio.gather(serving, guarding, return_exceptions=True)

    async def _serve(self, process: EtcdProcess, place: Workplace, prober: Prober) -> None:
        """Wait until our etcd serves, follow its cluster then, and return when it has ended."""
        while process.returncode is None:
            try:
                cluster_id, members = await confirm(
                    place.member, place.own.cluster_id, prober, self._api
                )
                if process.returncode is None:
                    await self._settle_in(place, cluster_id, members)
            except NotYet as error:
                self.waiting_for = str(error)
                await asyncio.sleep(_CONFIRM_S)
                continue
            self.problem, self.waiting_for = None, "a quorum's first answer"
            self._watch.follow(cluster_id, members)
            self._logger.info("etcd serves", extra={"cluster_id": cluster_id})
            await self._outlive(process)

    async def _settle_in(
        self, place: Workplace, cluster_id: str, members: Sequence[ClusterMember]
    ) -> None:
        """Become a member. A founder writes the lineage first: see `planning.lineage`.

        Raises:
            NotYet: The lineage could not be written so far.
        """
        voters = {m.name: m.peer_urls[0] for m in members if m.name and not m.is_learner}
        epoch, founded_at = place.own.epoch, place.own.founded_at
        if place.own.stage is Stage.FOUNDING:
            try:
                lineage = await write_lineage(
                    place.client_endpoint,
                    cluster_id,
                    epoch=place.own.epoch,
                    founder=place.own.instance,
                    now=time.time(),
                    tls=None if self._tls is None else self._tls.material,
                )
            except StoreError as error:
                raise NotYet(f"the cluster's lineage is not written yet ({error})") from error
            epoch, founded_at = lineage.epoch, lineage.founded_at
        await place.change(
            lambda own: own.in_cluster(cluster_id, epoch=epoch, founded_at=founded_at).model_copy(
                update={"voters": voters, "voters_index": 0}
            )
        )

    async def _outlive(self, process: EtcdProcess) -> None:
        """Wait for its end; one that ran well is started again without delay."""
        since = self._clock()
        await process.wait()
        if self._clock() - since >= _RAN_WELL_S:
            self._pauses = _pauses()

    def _wait_for(self, what: str) -> None:
        self.waiting_for = what

    def _report(self, error: CannotStart) -> None:
        self.problem = str(error)
        self._logger.error("the state server does not run", extra={"reason": self.problem})


def _pauses() -> Iterator[float]:
    return backoff.delays(_FIRST_PAUSE_S, _LONGEST_PAUSE_S)
