"""The store driver on an embedded etcd: the condition is what the supervisor knows."""

from __future__ import annotations

from collections.abc import Sequence

from formal_cluster.hookspecs import StoreContext
from formal_cluster.model import StoreState, StoreStatus
from formal_cluster.protocols import JournalEntry
from formal_cluster_store_etcd.client.etcd_client import EtcdClient
from formal_cluster_store_etcd.condition import condition
from formal_cluster_store_etcd.key_operations import ATTEMPT_S, KeyOperations
from formal_cluster_store_etcd.member.process import require_linux
from formal_cluster_store_etcd.planning import presence
from formal_cluster_store_etcd.settings import EtcdSettings
from formal_cluster_store_etcd.supervisor import Supervisor


class EtcdStore(KeyOperations):
    """The state store on an embedded etcd.

    Implements `StateStore`, `LeavingStore`, `PresenceStore` and `JournalingStore` of
    `formal_cluster.protocols`.
    """

    def __init__(self, settings: EtcdSettings, context: StoreContext) -> None:
        self._settings = settings
        self._context = context
        self._supervisor: Supervisor | None = None
        self._stopped = False

    async def start(self) -> None:
        """See `StateStore.start`. Call it in the thread that lives as long as etcd shall.

        Raises:
            ConfigError: The embedded etcd cannot run on this platform.
        """
        require_linux()
        self._client = EtcdClient(attempt_s=ATTEMPT_S)
        self._supervisor = Supervisor(self._settings, self._context, self._client)
        self._supervisor.start()

    async def leave(self) -> None:
        """See `LeavingStore.leave`."""
        if self._supervisor is not None:
            await self._supervisor.leave()

    async def present(self) -> frozenset[str]:
        """See `PresenceStore.present`: whoever has a presence key, which lives for 15 seconds."""
        entries = (await self.list(presence.PREFIX)).entries
        return frozenset(present.instance for present in presence.read(entries))

    def journal(self) -> Sequence[JournalEntry]:
        """See `JournalingStore.journal`."""
        return () if self._supervisor is None else self._supervisor.book.entries

    async def stop(self) -> None:
        """See `StateStore.stop`."""
        if self._supervisor is not None:
            await self._supervisor.stop()
        self._stopped = True
        if self._client is not None:
            await self._client.aclose()

    def status(self) -> StoreStatus:
        """See `StateStore.status`."""
        if self._stopped:
            return StoreStatus(StoreState.STOPPED)
        if self._supervisor is None:
            return StoreStatus(StoreState.STARTING, last_error="the store was not started")
        return condition(self._supervisor)
