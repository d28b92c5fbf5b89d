"""The supervisor: everything that runs beside the store's operations, started and stopped as one.

MemberRunner  runs this instance's etcd and finds its place in the cluster
ClusterWatch  follows the cluster: quorum, members, health; sets the client's endpoints
Announcer     tells the cluster that this instance is there
Leader        adds, promotes and removes members while our etcd leads
CredentialsKeeper  with TLS, reads the certificates anew when they change
"""

from __future__ import annotations

import asyncio
import contextlib

from formal_cluster.hookspecs import StoreContext
from formal_cluster_store_etcd.client.cluster_api import ClusterApi
from formal_cluster_store_etcd.client.etcd_client import EtcdClient
from formal_cluster_store_etcd.member.member_runner import MemberRunner
from formal_cluster_store_etcd.peers.announcer import Announcer
from formal_cluster_store_etcd.peers.cluster_watch import ClusterWatch
from formal_cluster_store_etcd.peers.leader import Leader
from formal_cluster_store_etcd.peers.views import Views
from formal_cluster_store_etcd.settings import EtcdSettings
from formal_cluster_store_etcd.tls.keeper import CredentialsKeeper


class Supervisor:
    """Make it in a running event loop, `start` it, `stop` it.

    Attributes:
        watch: What is known of the cluster.
        runner: What is known of this instance's etcd.
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
        self.runner = MemberRunner(
            settings=settings,
            instance=instance,
            views=views,
            watch=watch,
            api=api,
            tls=self._tls,
            logger=logger,
        )
        self._announcer = Announcer(client, watch, lambda: self.runner.presence, logger)
        self._leader = Leader(
            own_id=instance.id,
            cap=settings.voters,
            client=client,
            api=api,
            watch=watch,
            views=views,
            logger=logger,
        )
        self._logger = logger
        self._task: asyncio.Task[None] | None = None
        self.crash: str | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What an operator should look after, with the mend."""
        return () if self._tls is None else self._tls.warnings

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="etcd supervisor")
        self._task.add_done_callback(self._note_crash)

    async def stop(self) -> None:
        """Leave the cluster's list of those present and stop etcd. Idempotent."""
        if self._task is None or self._task.done():
            return
        await self._announcer.withdraw()
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for part in (self.runner, self.watch, self._announcer, self._leader, self._tls):
                if part is not None:
                    group.create_task(part.run(), name=f"etcd {type(part).__name__}")

    def _note_crash(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or task.exception() is None:
            return
        self._logger.critical("the etcd supervisor has ended by a bug", exc_info=task.exception())
        self.crash = (
            f"the supervisor has ended by a bug ({task.exception()!r}); restart this instance, and "
            "report the traceback in its log"
        )
