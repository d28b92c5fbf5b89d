"""The store contract's `get`, `list`, `put` and `delete`."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from typing import Final

from formal_cluster.errors import Conflict, Unavailable
from formal_cluster.model import Entry, Event, Listing
from formal_cluster_store_redis_test.calls import Calls, Precondition
from formal_cluster_store_redis_test.history import read
from formal_cluster_store_redis_test.knowledge import Knowledge
from formal_cluster_store_redis_test.listing import Page, lexical_range, merge
from formal_cluster_store_redis_test.scripts import CHANGES, DELETE, GET, PAGE, PUT

_LIST_ATTEMPTS: Final = 4
_PAGE_BYTES: Final = 1 << 20
_CHANGES_AT_ONCE: Final = 64


class Keys:
    """The keys of one store.

    Args:
        page_entries: Most entries that Redis is asked for at a time: it serves nobody else
            meanwhile.
    """

    def __init__(
        self, calls: Calls, knowledge: Knowledge, *, history: int, page_entries: int = 500
    ) -> None:
        self._calls = calls
        self._knowledge = knowledge
        self._history = history
        self._page_entries = page_entries

    async def get(self, key: bytes) -> Entry | None:
        """See `StateStore.get`."""
        cluster = self._knowledge.cluster
        at, revision, value = await self._calls.read(GET, key)
        self._saw(cluster, at)
        return None if revision is None else Entry(key, value, int(revision))

    async def list(self, prefix: bytes) -> Listing:
        """See `StateStore.list`.

        Raises:
            Unavailable: Redis did not answer, or forgot history faster than it could be read.
        """
        for _ in range(_LIST_ATTEMPTS):
            with contextlib.suppress(Precondition):  # history was forgotten
                return await self._list_once(prefix)
        raise Unavailable(
            f"listing {prefix!r} took longer than history is kept, {_LIST_ATTEMPTS} times; raise "
            "store.redis-test.history_changes"
        )

    async def put(
        self, key: bytes, value: bytes, *, if_revision: int | None = None, ttl: float | None = None
    ) -> int:
        """See `StateStore.put`."""
        if ttl is not None and ttl <= 0:
            raise ValueError(f"ttl must be more than 0 seconds, not {ttl}")
        cluster = self._knowledge.cluster
        try:
            revision: int = await self._calls.write(
                PUT,
                key,
                value,
                "" if if_revision is None else if_revision,
                "" if ttl is None else math.ceil(ttl * 1_000_000),
                self._history,
            )
        except Precondition as found:
            raise _conflict(key, if_revision, found) from None
        self._saw(cluster, revision)
        return revision

    async def delete(self, key: bytes, *, if_revision: int | None = None) -> int | None:
        """See `StateStore.delete`."""
        cluster = self._knowledge.cluster
        try:
            at, revision = await self._calls.write(
                DELETE, key, "" if if_revision is None else if_revision, self._history
            )
        except Precondition as found:
            raise _conflict(key, if_revision, found) from None
        self._saw(cluster, at)
        return None if revision is None else int(revision)

    async def _list_once(self, prefix: bytes) -> Listing:
        cluster = self._knowledge.cluster
        start, end = lexical_range(prefix)
        pages: list[Page] = []
        more = True
        while more:
            revision, more, *flat = await self._calls.read(
                PAGE, start, end, self._page_entries, _PAGE_BYTES
            )
            entries = [
                Entry(key, value, int(changed))
                for key, changed, value in zip(flat[::3], flat[1::3], flat[2::3], strict=True)
            ]
            pages.append(Page(entries, revision))
            cluster = cluster or self._knowledge.cluster
            if more:
                start = b"(" + entries[-1].key
        changes = await self._changes(pages[0].revision + 1, pages[-1].revision)
        if cluster != self._knowledge.cluster:
            raise Unavailable("Redis lost the store while it was listed; list again")
        self._saw(cluster, pages[-1].revision)
        return Listing(merge(prefix, pages, changes), pages[-1].revision)

    async def _changes(self, first: int, last: int) -> Sequence[Event]:
        events: list[Event] = []
        while first <= last:
            found, reached = read(await self._calls.read(CHANGES, first, last, _CHANGES_AT_ONCE))
            if reached is None:
                break
            events += found
            first = reached + 1
        return events

    def _saw(self, cluster: str | None, revision: int) -> None:
        cluster = cluster or self._knowledge.cluster
        if cluster is not None:
            self._knowledge.answered(cluster, revision)


def _conflict(key: bytes, expected: int | None, found: Precondition) -> Conflict:
    return Conflict(
        f"key {key!r} is at revision {found.found}, not {expected}; read it and decide anew",
        actual=int(found.found),
    )
