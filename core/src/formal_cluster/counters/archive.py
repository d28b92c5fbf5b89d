"""Snapshots in the store: how one replaces another, and how a joiner reads the present one.

A snapshot is written under an id of its own and becomes the present one when the head is
swung to it, which only one instance can do (compare and swap on the head's revision). The id begins
with that revision: whoever started from an older head has lost, so its chunks are rubbish.

Snapshots must be made much more often than the store discards history (etcd: 5 minutes by default),
because a joiner needs the history since the last one.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets

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
from formal_cluster.protocols import StateStore

SILENT_WRITER_MS = 600_000
"""Log time after which a silent writer's key is deleted. It may come back and write again."""


class Archive:
    """Reads and writes snapshots."""

    def __init__(self, store: StateStore, keys: Keys) -> None:
        self._store = store
        self._keys = keys
        self._rubbish: list[bytes] = []

    async def head(self) -> tuple[Head | None, int]:
        """The present head, and its revision (0 if there is none).

        Raises:
            StoreError: The store did not answer.
            MalformedRecord: Another version wrote it.
        """
        entry = await self._store.get(self._keys.head)
        return (None, 0) if entry is None else (decode_head(entry.value), entry.revision)

    async def load(self, state: State) -> None:
        """Bring an empty state to the present snapshot, if there is one.

        Raises: as `head`.
        """
        listing = await self._store.list(self._keys.snapshots)
        entries = {entry.key: entry for entry in listing.entries}
        head_entry = entries.pop(self._keys.head, None)
        if head_entry is None:
            return
        head = decode_head(head_entry.value)
        restore_head(head, state)
        for number in range(head.chunks):
            chunk = entries.pop(self._keys.chunk(head.id, number), None)
            if chunk is None:
                raise MalformedRecord(
                    f"chunk {number} of counter snapshot {head.id!r} is missing; was it deleted by "
                    "hand, or does the store not list at one revision?"
                )
            restore_chunk(chunk.value, state)
            await asyncio.sleep(0)
        # Deleted after the next snapshot, so that reading needs no writable store.
        self._rubbish = [
            key for key in entries if _base(self._keys.snapshot_of(key)) < head_entry.revision
        ]

    async def save(self, frozen: Frozen, head: Head | None, head_revision: int) -> bool:
        """Make `frozen` the present snapshot; False if another instance was faster.

        Args:
            head: The present head, which this one is to replace.

        Raises:
            StoreError: It is uncertain which snapshot is the present one, but one is.
        """
        snapshot_id = f"{head_revision}-{secrets.token_hex(4)}"
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
            await self._delete(self._chunks(snapshot_id, chunks))
            return False
        await self._delete(self._rubbish)
        if head is not None:
            await self._delete(self._chunks(head.id, head.chunks))
        return True

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

    def _chunks(self, snapshot_id: str, count: int) -> list[bytes]:
        return [self._keys.chunk(snapshot_id, number) for number in range(count)]

    async def _delete(self, keys: list[bytes]) -> None:
        for key in keys:
            await self._store.delete(key)


def _base(snapshot_id: str) -> int:
    """The revision of the head that a snapshot was to replace."""
    return int(snapshot_id.partition("-")[0])
