"""How far a watch has come, and what the next entries of the stream mean for it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from formal_cluster.errors import Compacted
from formal_cluster.model import Event, WatchUpdate


class WatchCursor:
    """A watch's position.

    Args:
        from_revision: The first revision wanted; None for the first one after the first `look`.
    """

    def __init__(self, prefix: bytes, from_revision: int | None) -> None:
        self._prefix = prefix
        self._next = from_revision

    @property
    def revision(self) -> int:
        """Every change up to and including this revision has been delivered, or was not wanted."""
        assert self._next is not None
        return self._next - 1

    @property
    def known(self) -> int | None:
        """As `revision`; None before the first `look` at a watch from now on."""
        return None if self._next is None else self._next - 1

    def look(self, revision: int, oldest: int) -> WatchUpdate | None:
        """The update with which a connection begins; None if there is none to give yet.

        Args:
            revision: The store's.
            oldest: The first revision that a watch can start from which knows what this one knows.

        Raises:
            Compacted: Something wanted is gone.
        """
        if self._next is None:
            self._next = revision + 1
        self._check(oldest)
        return self._idle() if revision == self.revision else None

    def accept(
        self, events: Sequence[Event], reached: int | None, *, revision: int, oldest: int
    ) -> WatchUpdate | None:
        """The update that further entries make; None if the revision wanted is yet to come.

        Args:
            events: What followed this position in the stream.
            reached: The revision of the last entry there; None if nothing came for a while.
            revision: The store's, seen after the events were read.
            oldest: The first revision in the store's history, seen after the events were read.

        Raises:
            Compacted: Something wanted is gone.
        """
        self._check(oldest)
        if reached is None:
            return self._idle() if revision >= self.revision else None
        self._next = reached + 1
        wanted = tuple(event for event in events if event.key.startswith(self._prefix))
        return WatchUpdate(wanted, self.revision)

    def _check(self, oldest: int) -> None:
        if self.revision + 1 < oldest:
            raise Compacted(
                f"history before revision {oldest} has been forgotten, {self.revision + 1} was "
                "asked for; list the keys and watch from there, or raise "
                "store.redis-test.history_changes and history_s",
                oldest=oldest,
            )

    def _idle(self) -> WatchUpdate:
        return WatchUpdate((), self.revision)
