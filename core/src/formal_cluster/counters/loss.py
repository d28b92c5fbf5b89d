"""Whether the store still holds the log that was folded, or has lost it, or a tail of it. Pure.

A store that lost its majority comes back as an older copy or empty, perhaps under another cluster
id, perhaps with its revisions set far ahead, perhaps written to by others since. So its revision
alone tells nothing; the writers' newest records do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from formal_cluster.counters.archive import SILENT_WRITER_MS
from formal_cluster.counters.fold import Record, State
from formal_cluster.counters.keys import LOG_ITSELF
from formal_cluster.counters.records import Birth


class Present(NamedTuple):
    """What the store has of the log at this moment.

    Attributes:
        newest: Each writer's newest record, in order.
        revision: The store's.
        cluster: What the store calls itself, if it does.
    """

    newest: Sequence[Record]
    revision: int
    cluster: str | None

    @property
    def beginning(self) -> Record | None:
        """The record with which the log's present life began."""
        return next((record for record in self.newest if record.writer == LOG_ITSELF), None)

    @property
    def life(self) -> int:
        """The number of the log's present life; 0 if it was not recorded."""
        return self.beginning.batch.epoch if self.beginning is not None else 0

    @property
    def writers(self) -> set[str]:
        """Everybody who wrote to it."""
        return {record.writer for record in self.newest} - {LOG_ITSELF}


def why_moved(present: Present) -> str | None:
    """Why the log needs a new life whatever is remembered of it; None if it does not."""
    if present.cluster is None:
        return None
    beginning = present.beginning
    if beginning is None:
        return f"no beginning of the log in cluster {present.cluster} is recorded"
    birth = beginning.batch.birth or Birth(cluster=None, awaited=[])
    if birth.cluster == present.cluster:
        return None
    return f"the log began in cluster {birth.cluster}, and this is {present.cluster}"


def why_lost(known: State, present: Present, now: int) -> str | None:
    """Why the store no longer has all that is known; None if nothing says so.

    Args:
        now: The present log time. Keys of writers silent for long may have been deleted since.
    """
    if present.revision < known.revision:
        return f"the store is at revision {present.revision} and was at {known.revision}"
    records = {record.writer: record for record in present.newest}
    for writer, position in known.writers.items():
        if writer != LOG_ITSELF and position.log_time <= now - SILENT_WRITER_MS:
            continue
        if (record := records.get(writer)) is None:
            return f"the records of writer {writer!r} are gone"
        found = (record.batch.epoch, record.batch.seq)
        folded = (position.epoch, position.seq)
        same = found == folded and record.revision == position.revision
        newer = found > folded and record.revision > max(position.revision, known.revision)
        if not (same or newer):
            return (
                f"writer {writer!r} is at batch {found[0]}.{found[1]} of revision "
                f"{record.revision}, and {folded[0]}.{folded[1]} of revision {position.revision} "
                "was folded"
            )
    return None
