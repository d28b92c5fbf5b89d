"""The resuming watch: one prefix, every revision once and in order, over one connection of its own.

Each round asks for what follows in the stream, waiting about a second if nothing does, and *then*
for the oldest revision in the history. So nothing can have been forgotten unnoticed in between.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from formal_cluster import backoff
from formal_cluster.errors import Unavailable
from formal_cluster.model import WatchUpdate
from formal_cluster_store_redis_test.errors_map import map_refusal
from formal_cluster_store_redis_test.history import read
from formal_cluster_store_redis_test.link import Answered, Lost
from formal_cluster_store_redis_test.links import Links
from formal_cluster_store_redis_test.scripts import STATE
from formal_cluster_store_redis_test.watch_cursor import WatchCursor

_IDLE_UPDATE_S: Final = 1.0
_EVENTS_AT_ONCE: Final = 128
_FIRST_DELAY_S: Final = 0.05
_LONGEST_DELAY_S: Final = 1.0

logger = logging.getLogger(__name__)


async def watch(
    links: Links, prefix: bytes, from_revision: int | None
) -> AsyncGenerator[WatchUpdate, None]:
    """See `StateStore.watch`. An update may be empty because its changes are of other prefixes.

    Raises:
        Compacted: The history wanted is gone, also because Redis has lost it.
        Unavailable: The store was stopped.
    """
    cursor = WatchCursor(prefix, from_revision)
    delays = backoff.delays(_FIRST_DELAY_S, _LONGEST_DELAY_S)
    while not links.closed.is_set():
        try:
            async with aclosing(_follow(links, cursor)) as updates:
                async for update in updates:
                    delays = backoff.delays(_FIRST_DELAY_S, _LONGEST_DELAY_S)
                    yield update
        except Unavailable as lost:
            logger.debug(
                "the Redis watch begins anew", extra={"prefix": repr(prefix), "reason": str(lost)}
            )
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(next(delays)):
                await links.closed.wait()
    raise Unavailable("the store was stopped")


async def _follow(links: Links, cursor: WatchCursor) -> AsyncGenerator[WatchUpdate, None]:
    """Updates over one connection until it is lost, which raises `Unavailable`."""
    link = await links.open(silence_s=_IDLE_UPDATE_S)
    try:
        known = cursor.known
        revision, oldest, _ = await link.run(STATE, link.cluster, "" if known is None else known)
        update = cursor.look(revision, oldest)
        while True:
            if update is not None:
                yield update
            await link.send(
                *("XREAD", "COUNT", _EVENTS_AT_ONCE, "BLOCK", round(_IDLE_UPDATE_S * 1_000)),
                *("STREAMS", links.layout.log, f"{max(0, cursor.revision)}-0"),
            )
            await link.send_script(STATE, link.cluster, "")
            streams = await link.receive() or [(links.layout.log, [])]
            revision, oldest, _ = await link.receive()
            update = cursor.accept(*read(streams[0][1]), revision=revision, oldest=oldest)
    except Lost as lost:
        raise Unavailable(f"Redis at {links.where}: {lost}") from lost
    except Answered as refusal:
        raise map_refusal(str(refusal), where=links.where, write=False) from refusal
    finally:
        await links.close(link)
