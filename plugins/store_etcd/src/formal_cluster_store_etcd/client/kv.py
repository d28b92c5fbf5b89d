"""Reading and writing keys: the store contract's `get`, `list`, `put` and `delete` on etcd.

Hazards:
- etcd applies the write that crosses its space quota and *still* answers "database space exceeded".
  Such an answer is checked against the key before it is reported as `NotWritable`.
- A key's ttl is an etcd lease of its own: whole seconds, rounded up, and never below about 1.5
  election time-outs. Expiry is noticed by the leader within a second, and a new leader starts every
  lease afresh, so a key lives at least as long as asked and sometimes longer.
"""

from __future__ import annotations

import contextlib
import math
from operator import attrgetter
from typing import Final

from formal_cluster.errors import Conflict, NotWritable, OutcomeUnknown, StoreError, Unavailable
from formal_cluster.model import Entry, Listing
from formal_cluster_store_etcd.client import rpc
from formal_cluster_store_etcd.client.calls import Calls, Method
from formal_cluster_store_etcd.client.endpoints import Links
from formal_cluster_store_etcd.client.errors_map import RevisionCompacted
from formal_cluster_store_etcd.client.key_range import key_range

RANGE: Final[Method] = attrgetter("kv.Range")
_PUT: Final[Method] = attrgetter("kv.Put")
_TXN: Final[Method] = attrgetter("kv.Txn")
_DELETERANGE: Final[Method] = attrgetter("kv.DeleteRange")
_LEASE_GRANT: Final[Method] = attrgetter("lease.LeaseGrant")
_LEASE_REVOKE: Final[Method] = attrgetter("lease.LeaseRevoke")

_LIST_ATTEMPTS: Final = 4


class KeyValue:
    """The keys of one etcd cluster.

    Args:
        page_size: Number of entries that `list` fetches at a time.
    """

    def __init__(self, links: Links, calls: Calls, *, page_size: int = 500) -> None:
        self._links = links
        self._calls = calls
        self._page_size = page_size

    async def get(self, key: bytes) -> Entry | None:
        """See `StateStore.get`."""
        response = await self._calls.read(RANGE, rpc.RangeRequest(key=key))
        return _entry(response.kvs[0]) if response.kvs else None

    async def list(self, prefix: bytes) -> Listing:
        """See `StateStore.list`.

        Raises:
            Unavailable: No quorum answered, or history was compacted faster than it could be read.
        """
        for _ in range(_LIST_ATTEMPTS):
            with contextlib.suppress(RevisionCompacted):
                return await self._list_once(prefix)
        raise Unavailable(
            f"listing {prefix!r} was overtaken by compaction {_LIST_ATTEMPTS} times; "
            "try again, or compact less often"
        )

    async def put(
        self, key: bytes, value: bytes, *, if_revision: int | None = None, ttl: float | None = None
    ) -> int:
        """See `StateStore.put`; the module's docstring says how exact `ttl` is."""
        lease = 0 if ttl is None else await self._grant(ttl)
        try:
            return await self._put(key, value, if_revision, lease)
        except OutcomeUnknown:
            raise  # the key may be there and live on the lease
        except StoreError:
            if lease:
                self._links.in_background(self._revoke(lease))
            raise

    async def delete(self, key: bytes, *, if_revision: int | None = None) -> int | None:
        """See `StateStore.delete`."""
        deletion = rpc.DeleteRangeRequest(key=key)
        if if_revision is None:
            response = await self._calls.write(_DELETERANGE, deletion)
            deleted = response.deleted
        else:
            change = rpc.RequestOp(request_delete_range=deletion)
            response = await self._change_if(key, if_revision, change)
            deleted = response.responses[0].response_delete_range.deleted
        return response.header.revision if deleted else None

    async def _put(self, key: bytes, value: bytes, if_revision: int | None, lease: int) -> int:
        put = rpc.PutRequest(key=key, value=value, lease=lease)
        try:
            if if_revision is None:
                response = await self._calls.write(_PUT, put)
            else:
                response = await self._change_if(key, if_revision, rpc.RequestOp(request_put=put))
        except NotWritable as refusal:
            await self._check_not_applied(key, value, if_revision, refusal)
            raise
        return int(response.header.revision)

    async def _change_if(self, key: bytes, if_revision: int, change: rpc.Message) -> rpc.Message:
        request = rpc.TxnRequest(
            compare=[
                rpc.Compare(
                    result=rpc.Compare.EQUAL,
                    target=rpc.Compare.MOD,
                    key=key,
                    mod_revision=if_revision,
                )
            ],
            success=[change],
            failure=[rpc.RequestOp(request_range=rpc.RangeRequest(key=key, keys_only=True))],
        )
        response = await self._calls.write(_TXN, request)
        if not response.succeeded:
            found = response.responses[0].response_range.kvs
            actual = found[0].mod_revision if found else 0
            raise Conflict(
                f"key {key!r} is at revision {actual}, not {if_revision}; read it and decide anew",
                actual=actual,
            )
        return response

    async def _check_not_applied(
        self, key: bytes, value: bytes, if_revision: int | None, refusal: NotWritable
    ) -> None:
        try:
            entry = await self.get(key)
        except Unavailable as error:
            raise OutcomeUnknown(f"{refusal}; it could not be read back: {error}") from error
        if entry is not None and entry.value == value and entry.revision != if_revision:
            raise OutcomeUnknown(f"{refusal}; the key holds the value nevertheless") from refusal

    async def _list_once(self, prefix: bytes) -> Listing:
        start, end = key_range(prefix)
        entries: list[Entry] = []
        revision = 0
        while True:
            request = rpc.RangeRequest(
                key=start, range_end=end, limit=self._page_size, revision=revision
            )
            page = await self._calls.read(RANGE, request)
            revision = revision or page.header.revision
            entries.extend(map(_entry, page.kvs))
            if not page.more:
                return Listing(tuple(entries), revision)
            start = entries[-1].key + b"\0"

    async def _grant(self, ttl: float) -> int:
        request = rpc.LeaseGrantRequest(TTL=max(1, math.ceil(ttl)))
        response = await self._calls.read(_LEASE_GRANT, request)
        return int(response.ID)

    async def _revoke(self, lease: int) -> None:
        with contextlib.suppress(StoreError):  # it expires anyway
            await self._calls.read(_LEASE_REVOKE, rpc.LeaseRevokeRequest(ID=lease))


def _entry(kv: rpc.Message) -> Entry:
    return Entry(kv.key, kv.value, kv.mod_revision)
