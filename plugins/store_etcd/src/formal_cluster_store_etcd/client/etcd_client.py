"""The etcd client of one process: the key-value half of the store contract over several endpoints.

One instance belongs to one event loop. Cancelling a caller's task abandons its call; a write so
abandoned may still be applied.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import NamedTuple

from formal_cluster.model import Entry, Listing, WatchUpdate
from formal_cluster_store_etcd.client.calls import Calls
from formal_cluster_store_etcd.client.endpoints import PROBE, Links
from formal_cluster_store_etcd.client.kv import RANGE, KeyValue
from formal_cluster_store_etcd.client.rpc import TlsMaterial
from formal_cluster_store_etcd.client.watch import watch
from formal_cluster_store_etcd.urls import Endpoint


class QuorumAnswer(NamedTuple):
    """What a member that reached a quorum says of the store."""

    cluster_id: int
    member_id: int
    revision: int


class EtcdClient:
    """Keys and watches of the etcd cluster behind `endpoints`.

    Args:
        endpoints: Where to find it, preferred one first; may be empty until `set_endpoints`.
        tls: Connect by TLS.
        timeout_s: Longest time for a call with all its attempts, seconds.
        attempt_s: Longest time for one attempt at one endpoint, seconds.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint] = (),
        *,
        tls: TlsMaterial | None = None,
        timeout_s: float = 5.0,
        attempt_s: float = 2.0,
    ) -> None:
        self._links = Links(tls)
        self._links.set_endpoints(endpoints)
        self._calls = Calls(self._links, timeout_s=timeout_s, attempt_s=attempt_s)
        self._keys = KeyValue(self._links, self._calls)

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The endpoints as they were set."""
        return self._links.endpoints

    def set_endpoints(self, endpoints: Sequence[Endpoint]) -> None:
        """Replace the endpoints, preferred one first. Connections to those that stay are kept;
        calls on the others get two seconds to end, watches there then move on."""
        self._links.set_endpoints(endpoints)

    def set_tls(self, tls: TlsMaterial) -> None:
        """Connect with this from now on; calls and watches move over as with `set_endpoints`."""
        self._links.set_tls(tls)

    async def ping(self) -> QuorumAnswer:
        """Read nothing, linearizably.

        Raises:
            Unavailable: No quorum answered.
        """
        header = (await self._calls.read(RANGE, PROBE)).header
        return QuorumAnswer(header.cluster_id, header.member_id, header.revision)

    async def get(self, key: bytes) -> Entry | None:
        """See `StateStore.get`."""
        return await self._keys.get(key)

    async def list(self, prefix: bytes) -> Listing:
        """See `StateStore.list`."""
        return await self._keys.list(prefix)

    async def put(
        self, key: bytes, value: bytes, *, if_revision: int | None = None, ttl: float | None = None
    ) -> int:
        """See `StateStore.put`; `kv` says how exact `ttl` is."""
        return await self._keys.put(key, value, if_revision=if_revision, ttl=ttl)

    async def delete(self, key: bytes, *, if_revision: int | None = None) -> int | None:
        """See `StateStore.delete`."""
        return await self._keys.delete(key, if_revision=if_revision)

    def watch(
        self, prefix: bytes, *, from_revision: int | None = None
    ) -> AsyncGenerator[WatchUpdate, None]:
        """See `StateStore.watch`, and `watch` for the empty updates and further errors."""
        return watch(self._links, prefix, from_revision)

    async def aclose(self) -> None:
        """Cut calls and watches under way and close all connections. Idempotent.

        Calls cut off end as `Unavailable` or `OutcomeUnknown`, watches as `Unavailable`.
        """
        await self._links.aclose()
