"""Snapshots in the store: how one replaces another, and how a joiner reads the present one.

A snapshot is written under an id of its own and becomes the present one when the head is
swung to it, which only one instance can do (compare and swap on the head's revision). The id begins
with that revision: whoever started from an older head has lost, so its chunks are rubbish. A mark
tells that there may be some, so that nobody has to list all chunks to find out.

Snapshots must be made much more often than the store discards history (etcd: 5 minutes by default),
because a joiner needs the history since the last one.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from itertools import islice

from formal_cluster.counters.fold import State
from formal_cluster.counters.frozen import Frozen
from formal_cluster.counters.keys import LOG_ITSELF, Keys
from formal_cluster.counters.records import MalformedRecord
from formal_cluster.counters.snapshot import (
    Head,
    decode_head,
    encode_chunks,
    encode_head,
    restore_chunk,
    restore_head,
)
from formal_cluster.errors import Conflict
from formal_cluster.model import Entry
from formal_cluster.protocols import StateStore

SILENT_WRITER_MS = 600_000
"""Log time after which a silent writer's key is deleted. It may come back and write again."""

_CHUNKS_AHEAD = 3
"""How many are asked for at a time."""


class Archive:
    """Reads and writes snapshots."""

    def __init__(self, store: StateStore, keys: Keys) -> None:
        self._store = store
        self._keys = keys

    async def head(self) -> tuple[Head | None, int]:
        """The present head, and its revision (0 if there is none).

        Raises:
            StoreError: The store did not answer.
            MalformedRecord: Another version wrote it.
        """
        entry = await self._store.get(self._keys.head)
        return (None, 0) if entry is None else (decode_head(entry.value), entry.revision)

    async def load(self, empty: Callable[[], State]) -> State:
        """The state of the present snapshot, or an empty one if there is none.

        The event loop is never kept for longer than one chunk takes.

        Raises: as `head`.
        """
        missing: tuple[str, int] | None = None
        while True:
            state = empty()
            head, _ = await self.head()
            if head is None:
                return state
            if missing is not None and missing[0] == head.id:
                raise MalformedRecord(
                    f"chunk {missing[1]} of counter snapshot {head.id!r} is missing; was it "
                    "deleted by hand?"
                )
            missing = await self._load_chunks(head, state)
            if missing is None:
                return state

    async def _load_chunks(self, head: Head, state: State) -> tuple[str, int] | None:
        """The snapshot's id and the first chunk that is missing, as there may be a newer one."""
        restore_head(head, state)
        async with aclosing(self._chunks(head)) as chunks:
            async for number, entry in chunks:
                if entry is None:
                    return head.id, number
                restore_chunk(entry.value, head.version, state)
        return None

    async def _chunks(self, head: Head) -> AsyncGenerator[tuple[int, Entry | None], None]:
        """The chunks in order. While one of them is being restored, the next is on its way."""
        requests = (
            asyncio.create_task(self._store.get(self._keys.chunk(head.id, number)))
            for number in range(head.chunks)
        )
        ahead = deque(islice(requests, _CHUNKS_AHEAD))
        try:
            for number in range(head.chunks):
                entry = await ahead.popleft()
                ahead.extend(islice(requests, 1))
                yield number, entry
        finally:
            for task in ahead:
                task.cancel()
            await asyncio.gather(*ahead, return_exceptions=True)

    async def save(self, frozen: Frozen, head: Head | None, head_revision: int) -> bool:
        """Make `frozen` the present snapshot; False if another instance was faster.

        Args:
            head: The present head, which this one is to replace.

        Raises:
            StoreError: It is uncertain which snapshot is the present one, but one is.
        """
        snapshot_id = f"{head_revision}-{secrets.token_hex(4)}"
        await self._store.put(self._keys.mark(snapshot_id), b"")
        chunks = 0
        for chunk in encode_chunks(frozen):
            await self._store.put(self._keys.chunk(snapshot_id, chunks), chunk)
            chunks += 1
        try:
            await self._store.put(
                self._keys.head,
                encode_head(frozen, snapshot_id, chunks),
                if_revision=head_revision,
            )
        except Conflict:
            await self._delete(snapshot_id, chunks)
            return False
        if head is not None:
            await self._delete(head.id, head.chunks)
        await self._delete_rubbish(head_revision)
        return True

    async def _delete(self, snapshot_id: str, chunks: int) -> None:
        for number in range(chunks):
            await self._store.delete(self._keys.chunk(snapshot_id, number))
        await self._store.delete(self._keys.mark(snapshot_id))

    async def _delete_rubbish(self, replaced: int) -> None:
        """Delete snapshots that were to replace a head of revision older than `replaced`.

        A mark goes only when no chunks are left: whoever is that slow may still write some.
        """
        marks = await self._store.list(self._keys.begun)
        for mark in marks.entries:
            snapshot_id = self._keys.marked(mark.key)
            if _base(snapshot_id) >= replaced:
                continue
            chunks = await self._store.list(self._keys.chunks(snapshot_id))
            for chunk in chunks.entries:
                await self._store.delete(chunk.key)
            if not chunks.entries:
                await self._store.delete(mark.key)

    async def delete_silent_writers(self, frozen: Frozen, own: str) -> None:
        """Delete the keys of writers whose records are all in the snapshot, long since.

        Raises:
            StoreError: Not all of them.
        """
        for writer, position in frozen.writers.items():
            if (
                writer not in (own, LOG_ITSELF)
                and position.log_time <= frozen.log_time - SILENT_WRITER_MS
            ):
                with contextlib.suppress(Conflict):
                    await self._store.delete(
                        self._keys.writer(writer), if_revision=position.revision
                    )


def _base(snapshot_id: str) -> int:
    """The revision of the head that a snapshot was to replace."""
    return int(snapshot_id.partition("-")[0])
