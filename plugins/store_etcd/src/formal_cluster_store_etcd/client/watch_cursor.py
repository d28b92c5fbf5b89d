"""How far a watch has come, and what of a response is new. Pure.

Three properties of etcd shape it:

- A watch that starts *at* the compacted revision is accepted, but older releases (as 3.4.23) then
  drop a deletion made in that very revision. So a stream starts one revision early: then etcd
  itself refuses it whenever anything wanted is gone. What comes twice by it is dropped here.
- The answer to a progress *request* may overtake events before 3.4.25/3.5.8, so it proves only that
  the stream is alive. The periodic notifications come in order, and do move the cursor.
- A member that lags, or was restored, may report lower revisions than were seen before; the cursor
  never goes back.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from formal_cluster.errors import StoreError
from formal_cluster.model import Event, EventKind, WatchUpdate
from formal_cluster_store_etcd.client.rpc import Message

_KINDS: Final = {0: EventKind.PUT, 1: EventKind.DELETE}


class StoreReplaced(StoreError):
    """The endpoints now serve another store than the watch began on: another cluster, or the same
    one at an earlier revision. What was read from it must be read anew."""


class WatchCursor:
    """A watch's position.

    Args:
        from_revision: The first revision wanted; None for the first one after `anchor`.

    Attributes:
        revision: Every change up to and including this revision has been delivered.
    """

    __slots__ = ("_cluster_id", "_newest", "revision")

    def __init__(self, from_revision: int | None) -> None:
        self.revision = -1 if from_revision is None else max(0, from_revision - 1)
        self._cluster_id: int | None = None
        self._newest = 0

    @property
    def start_revision(self) -> int:
        """Where a stream must start to miss nothing."""
        return max(1, self.revision)

    def anchor(self, cluster_id: int, revision: int) -> None:
        """Compare with what a quorum says of the store before a stream is opened.

        Raises:
            StoreReplaced: This is not the store that the watch began on.
        """
        if self._cluster_id not in {None, cluster_id}:
            raise StoreReplaced(
                f"the watch began on etcd cluster {self._cluster_id:x}, the endpoints now serve "
                f"cluster {cluster_id:x}; list again and watch from there"
            )
        if revision < self._newest:
            raise StoreReplaced(
                f"etcd cluster {cluster_id:x} is at revision {revision}, but was at revision "
                f"{self._newest} before: it was restored or lost data; "
                "list again and watch from there"
            )
        self._cluster_id = cluster_id
        self._newest = revision
        if self.revision < 0:
            self.revision = revision

    def accept(self, events: Iterable[Message]) -> WatchUpdate | None:
        """The update that a response's events make; None if all of them are known already."""
        seen = self.revision
        new = tuple(
            [
                Event(_KINDS[event.type], kv.key, kv.value, kv.mod_revision)
                for event in events
                if (kv := event.kv).mod_revision > seen
            ]
        )
        if not new:
            return None
        self.revision = new[-1].revision
        self._newest = max(self._newest, self.revision)
        return WatchUpdate(new, self.revision)

    def progress(self, revision: int) -> WatchUpdate:
        """The empty update for a notification that nothing is outstanding up to `revision`."""
        self.revision = max(self.revision, revision)
        return self.idle()

    def idle(self) -> WatchUpdate:
        """The empty update that only says that the watch is alive."""
        return WatchUpdate((), self.revision)
