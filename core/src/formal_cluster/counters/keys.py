"""Where everything of the counters is kept in the store, below their prefix.

    log/<shard>/<writer>         a writer's newest batch; its earlier ones are the key's history
    log/<shard>/                 the same of the log itself: the beginning of its present life
    snapshot/head                which snapshot is the present one
    snapshot/<id>/<number>       its chunks

There is one shard. The layout has more so that the log can be split without moving it.
"""

from __future__ import annotations

LOG_ITSELF = ""
"""The writer whose records are about the log as a whole. No instance has this id."""

_SHARD = b"0/"


class Keys:
    """The names of keys below one prefix."""

    def __init__(self, prefix: bytes) -> None:
        self.log = prefix + b"log/" + _SHARD
        self.snapshots = prefix + b"snapshot/"
        self.head = self.snapshots + b"head"

    def writer(self, writer: str) -> bytes:
        """The key that `writer` overwrites."""
        return self.log + writer.encode()

    def writer_of(self, key: bytes) -> str:
        """The inverse of `writer`."""
        return key[len(self.log) :].decode()

    def chunk(self, snapshot_id: str, number: int) -> bytes:
        """The key of a snapshot's chunk."""
        return self.snapshots + f"{snapshot_id}/{number:06}".encode()

    def snapshot_of(self, key: bytes) -> str:
        """The id of the snapshot that a chunk's key belongs to."""
        return key[len(self.snapshots) :].decode().partition("/")[0]
