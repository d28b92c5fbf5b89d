"""The supervisor: everything that runs beside the store's operations, started and stopped as one.

MemberRunner  runs this instance's etcd and finds its place in the cluster
ClusterWatch  follows the cluster: quorum, members, health; sets the client's endpoints
Announcer     tells the cluster that this instance is there
Leader        adds, promotes and removes members while our etcd leads
Maintenance   keeps the members' databases small while our etcd leads, and warns
Leaver        waits, when this instance leaves, until the others have taken over
CredentialsKeeper
              with TLS, reads the certificates anew when they change
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from formal_cluster.hookspecs import StoreContext
from formal_cluster_store_etcd.client.cluster_api import ClusterApi
from formal_cluster_store_etcd.client.etcd_client import EtcdClient
from formal_cluster_store_etcd.journal import Book
from formal_cluster_store_etcd.member.member_runner import MemberRunner
from formal_cluster_store_etcd.peers.announcer import Announcer
from formal_cluster_store_etcd.peers.cluster_watch import ClusterWatch
from formal_cluster_store_etcd.peers.leader import Leader
from formal_cluster_store_etcd.peers.leaver import Leaver
from formal_cluster_store_etcd.peers.maintenance import Maintenance
from formal_cluster_store_etcd.peers.views import Views
from formal_cluster_store_etcd.planning.changes import Rules
from formal_cluster_store_etcd.planning.maintenance import Rules as MaintenanceRules
from formal_cluster_store_etcd.settings import EtcdSettings
from formal_cluster_store_etcd.tls.keeper import CredentialsKeeper

_LEAVING_SETTLE_S: Final = 1.0
_WORTH_DEFRAGMENTING: Final = 64 << 20
_BETWEEN_DEFRAGMENTATIONS_S: Final = 30.0
_DRY_RUN: Final = (
    "store.etcd.dry_run is set: what would be done about the cluster is decided and written to the "
    "journal, and not done"
)
_SILENT_S: Final = 1.0
_HURRY_S: Final = 1.0


class Supervisor:
    """Make it in a running event loop, `start` it, `stop` it.

    Attributes:
        watch: What is known of the cluster.
        runner: What is known of this instance's etcd.
        book: The decision journal.
    """

    def __init__(self, settings: EtcdSettings, context: StoreContext, client: EtcdClient) -> None:
        instance, logger = context.instance, context.logger
        api = ClusterApi()
        views = Views(context.discovery, instance.id, logger)
        watch = ClusterWatch(client, api, instance.id, logger)
        self._tls: CredentialsKeeper | None = None
        if settings.tls is not None:
            self._tls = CredentialsKeeper(
                settings.tls,
                own_address=instance.address,
                connecting=(client, api),
                logger=logger,
            )
        self.watch = watch
        self.book = Book()
        self.runner = MemberRunner(
            settings=settings,
            instance=instance,
            views=views,
            watch=watch,
            api=api,
            tls=self._tls,
            logger=logger,
            book=self.book,
        )
        self._announcer = Announcer(client, watch, lambda: self.runner.presence, logger)
        self._leader = Leader(
            own_id=instance.id,
            rules=_rules(settings),
            dry_run=settings.dry_run,
            client=client,
            api=api,
            watch=watch,
            views=views,
            logger=logger,
            book=self.book,
        )
        self._leaver = Leaver(
            client=client,
            watch=watch,
            read=lambda: self.runner.presence,
            grace_s=settings.leave_grace_s,
            logger=logger,
            book=self.book,
        )
        self._leaves = settings.leave_on_stop and not settings.dry_run
        self._maintenance = Maintenance(
            rules=MaintenanceRules(
                quota=settings.quota_backend_bytes,
                floor=_WORTH_DEFRAGMENTING,
                every_s=settings.defragment_every_s,
                pause_s=_BETWEEN_DEFRAGMENTATIONS_S,
            ),
            dry_run=settings.dry_run,
            api=api,
            watch=watch,
            logger=logger,
            book=self.book,
        )
        self._dry_run = settings.dry_run
        self._logger = logger
        self._task: asyncio.Task[None] | None = None
        self.crash: str | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What an operator should look after, with the mend."""
        dry_run = (_DRY_RUN,) if self._dry_run else ()
        certificates = () if self._tls is None else self._tls.warnings
        return (*dry_run, *certificates, *self._maintenance.warnings)

    @property
    def unwritable(self) -> str | None:
        """Why nothing can be written though a quorum answers; None if nothing is known to."""
        return self._maintenance.unwritable

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="etcd supervisor")
        self._task.add_done_callback(self._note_crash)

    async def leave(self) -> None:
        """Let the others take over, within `leave_grace_s`; call `stop` then."""
        if not self._leaves or self._task is None or self._task.done():
            return
        self.watch.leaving = self._announcer.draining = True
        last = await self._leaver.wait()
        if last.together:
            self._hurry()

    async def stop(self) -> None:
        """Leave the cluster's list of those present and stop etcd. Idempotent."""
        if self._task is None or self._task.done():
            return
        if self.watch.stale_s is None or self.watch.stale_s > _SILENT_S:
            self._hurry()
        else:
            await self._announcer.withdraw()
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    def _hurry(self) -> None:
        """Nobody is left to hand the leadership to, which etcd would try for seconds."""
        self.runner.stop_grace_s = min(self.runner.stop_grace_s, _HURRY_S)

    async def _run(self) -> None:
        parts = (self.runner, self.watch, self._announcer, self._leader, self._maintenance)
        async with asyncio.TaskGroup() as group:
            for part in parts:
                group.create_task(part.run(), name=f"etcd {type(part).__name__}")
            if self._tls is not None:
                group.create_task(self._tls.run(), name="etcd credentials")

    def _note_crash(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or task.exception() is None:
            return
        self._logger.critical("the etcd supervisor has ended by a bug", exc_info=task.exception())
        self.crash = (
            f"the supervisor has ended by a bug ({task.exception()!r}); restart this instance, and "
            "report the traceback in its log"
        )


def _rules(settings: EtcdSettings) -> Rules:
    return Rules(
        voters=settings.voters,
        replace_silent_after_s=settings.replace_silent_after_s,
        stalled_learner_s=settings.stalled_learner_s,
        shrink_after_s=settings.shrink_after_s,
        leaving_settle_s=_LEAVING_SETTLE_S,
        replace_leaver_within_s=settings.leave_grace_s / 2,
    )
