"""The resuming watch: one prefix, every revision once and in order, over whichever member serves.

Before each stream a linearizable read through the same member proves that it has a quorum, is not
behind, and still serves the same store. A stream that is silent for about three seconds, a member
that loses its leader, and any lost connection are answered by a new stream, elsewhere if possible.

Hazard: a member that is cut off from the others goes on answering for up to about five election
time-outs before it cuts its streams. Until then a watch there looks alive and is behind.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Final

from formal_cluster import backoff
from formal_cluster.errors import Compacted, StoreError, Unavailable
from formal_cluster.model import WatchUpdate
from formal_cluster_store_etcd.client import rpc
from formal_cluster_store_etcd.client.endpoints import Link, Links
from formal_cluster_store_etcd.client.key_range import key_range
from formal_cluster_store_etcd.client.watch_cursor import WatchCursor
from formal_cluster_store_etcd.client.watch_stream import WatchStream

_FIRST_DELAY_S: Final = 0.05
_LONGEST_DELAY_S: Final = 1.0
_REQUESTED_PROGRESS: Final = -1
"""Watch id of the answer to a progress request; a periodic notification has the watch's own."""

logger = logging.getLogger(__name__)


async def watch(
    links: Links, prefix: bytes, from_revision: int | None
) -> AsyncGenerator[WatchUpdate, None]:
    """See `StateStore.watch`. Yields an empty update about once a second while nothing changes;
    with `from_revision` None also one at once, and nothing written after that one is missed.

    Raises:
        Compacted: The history wanted is gone.
        StoreReplaced: The endpoints serve another store, or an earlier state of it.
        Unavailable: The client was closed.
        StoreError: A member refuses the watch for good.
    """
    cursor = WatchCursor(from_revision)
    delays = _delays()
    announce = from_revision is None
    while not links.closed:
        for link in links.in_order() if links.endpoints else ():
            served = False
            try:
                async with aclosing(_follow(link, prefix, cursor, announce=announce)) as updates:
                    async for update in updates:
                        served = True
                        yield update
            except Unavailable as lost:
                links.suspect(link)
                logger.log(
                    logging.INFO if served else logging.DEBUG,
                    "the etcd watch moves on",
                    extra={"endpoint": link.where, "prefix": repr(prefix), "reason": str(lost)},
                )
            if served:
                announce = False
                delays = _delays()
                break
        await asyncio.sleep(next(delays))
    raise Unavailable("the etcd client is closed")


async def _follow(
    link: Link, prefix: bytes, cursor: WatchCursor, *, announce: bool
) -> AsyncGenerator[WatchUpdate, None]:
    """Updates from one member until its stream is lost, which raises `Unavailable`."""
    header = await link.probe()
    cursor.anchor(header.cluster_id, header.revision)
    start, end = key_range(prefix)
    create = rpc.WatchCreateRequest(
        key=start, range_end=end, start_revision=cursor.start_revision, progress_notify=True
    )
    async with aclosing(WatchStream(link)) as stream:
        _check_not_cancelled(await stream.open(create), link.where)
        if announce:
            yield cursor.idle()
        while True:
            response = await stream.read()
            if response.events:
                update = cursor.accept(response.events)
                if update is not None:
                    yield update
                continue
            _check_not_cancelled(response, link.where)
            if response.watch_id == _REQUESTED_PROGRESS:
                yield cursor.idle()
            else:
                yield cursor.progress(response.header.revision)


def _check_not_cancelled(response: rpc.Message, where: str) -> None:
    if not response.canceled:
        return
    compacted = response.compact_revision
    if compacted:
        raise Compacted(
            f"etcd has compacted its history up to revision {compacted}, before the watch had "
            "read it; list again and watch from there",
            oldest=compacted + 1,
        )
    raise StoreError(
        f"etcd at {where} cancelled the watch: {response.cancel_reason or 'no reason'}"
    )


def _delays() -> Iterator[float]:
    return backoff.delays(_FIRST_DELAY_S, _LONGEST_DELAY_S)
