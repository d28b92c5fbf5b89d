"""Where everything of the counters is kept in the store, below their prefix.

    log/<shard>/<writer>         a writer's newest batch; its earlier ones are the key's history
    log/<shard>/                 the same of the log itself: the beginning of its present life
    snapshot/head                which snapshot is the present one
    snapshot/<id>/<number>       its chunks
    snapshot-begun/<id>          that chunks of a snapshot may be there

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
        self.begun = prefix + b"snapshot-begun/"

    def writer(self, writer: str) -> bytes:
        """The key that `writer` overwrites."""
        return self.log + writer.encode()

    def writer_of(self, key: bytes) -> str:
        """The inverse of `writer`."""
        return key[len(self.log) :].decode()

    def chunk(self, snapshot_id: str, number: int) -> bytes:
        """The key of a snapshot's chunk."""
        return self.chunks(snapshot_id) + f"{number:06}".encode()

    def chunks(self, snapshot_id: str) -> bytes:
        """What the keys of a snapshot's chunks begin with."""
        return self.snapshots + f"{snapshot_id}/".encode()

    def mark(self, snapshot_id: str) -> bytes:
        """The key that says that a snapshot was begun."""
        return self.begun + snapshot_id.encode()

    def marked(self, key: bytes) -> str:
        """The inverse of `mark`."""
        return key[len(self.begun) :].decode()
