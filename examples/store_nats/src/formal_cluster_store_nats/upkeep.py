"""What has to be done regularly, by any instance: end keys whose time is over, discard history.

Both can be done by several instances at once without harm: a key is ended only at the revision that
was to end, and what is discarded was superseded already. So nobody has to be elected; chance sees
to it that mostly one does it.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Coroutine

from formal_cluster.errors import StoreError
from formal_cluster_store_nats.answers import WrongRevision
from formal_cluster_store_nats.log import Log
from formal_cluster_store_nats.messages import headers_of, new_write

_logger = logging.getLogger(__name__)

_LOOK_S = 0.05
_STAGGER_S = 0.25
_AGAIN_S = 2.0
_AT_ONCE = 16


async def end_overdue(log: Log) -> None:
    """Delete keys whose time to live is over, again and again."""
    behind = random.uniform(0, _STAGGER_S)
    while True:
        now = time.monotonic()
        overdue = log.replica.overdue(now - behind) if log.replica.complete else []
        for key, revision in overdue:
            log.replica.remind(key, revision, now + _AGAIN_S)
        await _all([_end(log, key, revision) for key, revision in overdue])
        await asyncio.sleep(_LOOK_S)


async def discard_old(log: Log) -> None:
    """Discard history when it is old enough, again and again."""
    keep = log.settings.history_seconds
    passed: deque[tuple[float, int]] = deque()
    while True:
        await asyncio.sleep(keep * random.uniform(0.1, 0.2))
        now = time.monotonic()
        passed.append((now, log.replica.applied))
        before = 0
        while passed and passed[0][0] <= now - keep:
            before = passed.popleft()[1]
        if before > log.replica.oldest and now - log.compacted_at > keep / 4:
            try:
                await compact(log, before)
            except StoreError as error:
                _logger.info("nats store history not discarded", extra={"reason": str(error)})


async def compact(log: Log, before: int) -> None:
    """Discard superseded values, deletions and marks before revision `before`, then say so.

    Raises:
        StoreError: Perhaps not all is discarded; the next time it will be.
    """
    before = min(before, log.replica.applied + 1)
    superseded = log.replica.superseded(before)
    await _all([_purge(log, log.subjects.of_key(key), cut) for key, cut in superseded])
    await _purge(log, log.subjects.mark, before)
    await _purge(log, log.subjects.compacted, before)
    deadline = asyncio.get_running_loop().time() + log.settings.timeout_seconds
    await log.write(
        log.subjects.compacted, str(before).encode(), {}, write=new_write(), deadline=deadline
    )


async def _end(log: Log, key: bytes, revision: int) -> None:
    write = new_write()
    deadline = asyncio.get_running_loop().time() + log.settings.timeout_seconds
    try:
        await log.write(
            log.subjects.of_key(key),
            b"",
            headers_of(write=write, deletes=True, expected=revision),
            write=write,
            deadline=deadline,
        )
    except WrongRevision:
        pass  # written again in time, or ended by another instance
    except StoreError:
        pass  # the replica reminds of it


async def _purge(log: Log, subject: str, before: int) -> None:
    await log.request(
        f"STREAM.PURGE.{log.settings.stream}",
        {"filter": subject, "seq": before},
        what="discard history",
    )


async def _all(calls: list[Coroutine[None, None, None]]) -> None:
    """Make all calls, a few at once; then raise the first error, if there was any."""
    places = asyncio.Semaphore(_AT_ONCE)
    errors: list[StoreError] = []

    async def call(one: Coroutine[None, None, None]) -> None:
        async with places:
            try:
                await one
            except StoreError as error:
                errors.append(error)

    async with asyncio.TaskGroup() as tasks:
        for one in calls:
            tasks.create_task(call(one))
    if errors:
        raise errors[0]
