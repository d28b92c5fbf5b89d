"""The store's operations on keys: they go through the client, wherever its endpoints come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from typing import Final

from formal_cluster.errors import Unavailable
from formal_cluster.model import Capability, Entry, Listing, StoreStatus, WatchUpdate
from formal_cluster_store_etcd.client.etcd_client import EtcdClient

# While the leadership moves, etcd drops what followers forward and says nothing. Whoever can send
# it again, as the counters' log does, is to do so well within a strict decision's deadline.
ATTEMPT_S: Final = 0.8


class KeyOperations(ABC):
    """The part of `StateStore` that is the same for an embedded and an external etcd.

    A subclass sets `_client` when it starts.
    """

    _client: EtcdClient | None = None

    @property
    def capabilities(self) -> frozenset[Capability]:
        """All there are."""
        return frozenset(Capability)

    @abstractmethod
    def status(self) -> StoreStatus:
        """See `StateStore.status`."""

    async def get(self, key: bytes) -> Entry | None:
        """See `StateStore.get`."""
        return await self._reachable().get(key)

    async def list(self, prefix: bytes) -> Listing:
        """See `StateStore.list`."""
        return await self._reachable().list(prefix)

    async def put(
        self, key: bytes, value: bytes, *, if_revision: int | None = None, ttl: float | None = None
    ) -> int:
        """See `StateStore.put`; `kv` says how exact `ttl` is."""
        return await self._reachable().put(key, value, if_revision=if_revision, ttl=ttl)

    async def delete(self, key: bytes, *, if_revision: int | None = None) -> int | None:
        """See `StateStore.delete`."""
        return await self._reachable().delete(key, if_revision=if_revision)

    def watch(
        self, prefix: bytes, *, from_revision: int | None = None
    ) -> AsyncGenerator[WatchUpdate, None]:
        """See `StateStore.watch`; it waits for the cluster if there is none yet."""
        if self._client is None:
            raise Unavailable("the store was not started")
        return self._client.watch(prefix, from_revision=from_revision)

    def _reachable(self) -> EtcdClient:
        if self._client is None or not self._client.endpoints:
            raise Unavailable(
                f"no cluster has been reached: {self.status().last_error or 'the store is stopped'}"
            )
        return self._client
