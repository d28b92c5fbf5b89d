"""The store driver on an etcd that is operated elsewhere: nothing is started here, nobody is asked
to join, and no membership is looked after."""

from __future__ import annotations

import asyncio
import contextlib

from formal_cluster.hookspecs import StoreContext
from formal_cluster.model import StoreState, StoreStatus
from formal_cluster_store_etcd.client.etcd_client import EtcdClient
from formal_cluster_store_etcd.external_watch import ExternalWatch
from formal_cluster_store_etcd.key_operations import ATTEMPT_S, KeyOperations
from formal_cluster_store_etcd.settings import EtcdSettings


class ExternalStore(KeyOperations):
    """The state store on an etcd elsewhere. Implements `formal_cluster.protocols.StateStore`."""

    def __init__(self, settings: EtcdSettings, context: StoreContext) -> None:
        self._settings = settings
        self._context = context
        self._watch: ExternalWatch | None = None
        self._task: asyncio.Task[None] | None = None
        self._crash: str | None = None
        self._stopped = False

    async def start(self) -> None:
        """See `StateStore.start`."""
        self._client = EtcdClient(attempt_s=ATTEMPT_S)
        self._watch = ExternalWatch(self._settings, self._client, self._context.logger)
        self._task = asyncio.create_task(self._watch.run(), name="external etcd")
        self._task.add_done_callback(self._note_crash)

    async def stop(self) -> None:
        """See `StateStore.stop`."""
        self._stopped = True
        if self._task is not None and not self._task.done():
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._client is not None:
            await self._client.aclose()

    def status(self) -> StoreStatus:
        """See `StateStore.status`."""
        if self._stopped:
            return StoreStatus(StoreState.STOPPED)
        if self._crash is not None:
            return StoreStatus(StoreState.FAILED, last_error=self._crash)
        if self._watch is None:
            return StoreStatus(StoreState.STARTING, last_error="the store was not started")
        return self._watch.status()

    def _note_crash(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or task.exception() is None:
            return
        self._context.logger.critical(
            "following the external etcd has ended by a bug", exc_info=task.exception()
        )
        self._crash = (
            f"following the external etcd has ended by a bug ({task.exception()!r}); restart this "
            "instance, and report the traceback in its log"
        )
