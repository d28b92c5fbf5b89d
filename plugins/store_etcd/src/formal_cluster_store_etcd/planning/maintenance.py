"""Decides how the members' databases are kept small, and what an operator is warned of. Pure.

etcd's file never shrinks by itself: what compaction frees is reused, but counts towards the quota
until the member is defragmented, which stops it for as long as that takes. So:

- A file of some size that is mostly free space is defragmented: one member at a time and not often,
  the leader last, and only while all members are healthy.
- At its quota a member raises the alarm NOSPACE, which stops all writing until it is disarmed. Then
  the history is dropped, every member defragmented, and the alarm disarmed if there is room.
- What a person has to decide on (the data itself is too large, members differ) is only said.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from formal_cluster_store_etcd.planning.members import Alarm, MemberStatus

NOSPACE: Final = "NOSPACE"
CORRUPT: Final = "CORRUPT"
_WARN_AT: Final = 0.6
_ROOM_BELOW: Final = 0.8
_MOSTLY_FREE: Final = 0.5
_MIB: Final = 1 << 20
_ALARM: Final = re.compile(r"memberID:\s*(\d+)\s+alarm:\s*([A-Z]+)")


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings that matter here; see `EtcdSettings`.

    Attributes:
        quota: Size of a database file at which etcd stops taking writes, bytes.
        floor: Smaller files are left alone, bytes.
        every_s: A member is not defragmented again before.
        pause_s: No other member is defragmented before.
    """

    quota: int
    floor: int
    every_s: float
    pause_s: float


@dataclass(frozen=True, slots=True)
class SeenDatabase:
    """A member and its database, as the leader sees it.

    Attributes:
        healthy: Whether it answered a moment ago and, a learner, is in sync.
        size: Of its file, bytes.
        in_use: Of that, what is not free space.
        defragmented_s: How long ago the leader had it defragmented; None if it never had.
        cleared: Whether that was since the alarms were raised.
    """

    id: int
    name: str
    healthy: bool
    size: int
    in_use: int
    defragmented_s: float | None = None
    cleared: bool = False


@dataclass(frozen=True, slots=True)
class Observation:
    """All that `plan` decides on.

    Attributes:
        revision: The store's.
        compacted: Whether the leader has had all history dropped since the alarms were raised.
    """

    own_member: int
    databases: tuple[SeenDatabase, ...]
    alarms: tuple[Alarm, ...]
    revision: int
    compacted: bool
    rules: Rules


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing now."""

    evidence: str


@dataclass(frozen=True, slots=True)
class Compact:
    """Drop the history before a revision."""

    evidence: str
    revision: int


@dataclass(frozen=True, slots=True)
class Defragment:
    """Have a member write its file anew. It does not answer meanwhile."""

    evidence: str
    member_id: int


@dataclass(frozen=True, slots=True)
class Disarm:
    """Take an alarm back."""

    evidence: str
    alarm: Alarm


Task: TypeAlias = Compact | Defragment | Disarm


def plan(seen: Observation) -> Task | Wait:
    """The next thing to do, or why there is nothing."""
    silent = [database.name for database in seen.databases if not database.healthy]
    if silent or not seen.databases:
        return Wait(f"not all members are well: {', '.join(silent) or 'none is known'}")
    if any(alarm.kind == CORRUPT for alarm in seen.alarms):
        return Wait("the members' data differs; that is for an operator to mend")
    full = [alarm for alarm in seen.alarms if alarm.kind == NOSPACE]
    if full:
        return _plan_room(seen, full[0])
    return _plan_defragmentation(seen)


def warnings(
    statuses: Mapping[int, MemberStatus], names: Mapping[int, str], quota: int
) -> tuple[str, ...]:
    """What an operator should look after, with the mend.

    Args:
        statuses: What each member said of itself, by id.
        names: Whose members they are, by id.
        quota: See `Rules`.
    """
    said = list(unwritable(statuses, names))
    for member, status in sorted(statuses.items()):
        if status.db_size >= _WARN_AT * quota:
            said.append(
                f"the database of {names.get(member, f'{member:x}')} takes {_mib(status.db_size)} "
                f"of {_mib(quota)} (store.etcd.quota_backend_bytes), {_mib(status.db_in_use)} of "
                "it in use; at the quota nothing can be written. Raise it, or store less"
            )
    return tuple(said)


def unwritable(statuses: Mapping[int, MemberStatus], names: Mapping[int, str]) -> Sequence[str]:
    """Why nothing can be written though a quorum is there: the alarms, with the mend.

    Args: as `warnings`.
    """
    alarms = sorted(set(_alarms(statuses.values())), key=lambda alarm: (alarm.kind, alarm.member))
    said = []
    for alarm in alarms:
        who = names.get(alarm.member, f"{alarm.member:x}")
        if alarm.kind == CORRUPT:
            said.append(
                f"the data of {who} differs from the others', and nothing can be written or read. "
                "Stop that instance, move its data directory away, clear the alarm with `etcdctl "
                "alarm disarm`, and start it again"
            )
        elif alarm.kind == NOSPACE:
            said.append(
                f"the database of {who} has reached its quota, and nothing can be written. Space "
                "is being made; if that does not help, raise store.etcd.quota_backend_bytes on all "
                "instances and restart them one after the other"
            )
    return said


def _plan_room(seen: Observation, alarm: Alarm) -> Task | Wait:
    if not seen.compacted:
        return Compact(f"alarm {NOSPACE}: the history takes space", seen.revision)
    for database in _leader_last(seen):
        if not database.cleared:
            return Defragment(f"alarm {NOSPACE}: {_describe(database)}", database.id)
    largest = max(seen.databases, key=lambda database: database.size)
    if largest.size >= _ROOM_BELOW * seen.rules.quota:
        return Wait(
            f"alarm {NOSPACE} stays: {_describe(largest)}, of {_mib(seen.rules.quota)} allowed. "
            "Raise store.etcd.quota_backend_bytes"
        )
    return Disarm(f"there is room again: {_describe(largest)}", alarm)


def _plan_defragmentation(seen: Observation) -> Task | Wait:
    rules = seen.rules
    ago = [d.defragmented_s for d in seen.databases if d.defragmented_s is not None]
    if ago and min(ago) < rules.pause_s:
        return Wait("a member was defragmented a moment ago")
    for database in _leader_last(seen):
        recently = database.defragmented_s is not None and database.defragmented_s < rules.every_s
        mostly_free = database.in_use <= _MOSTLY_FREE * database.size
        if database.size >= rules.floor and mostly_free and not recently:
            return Defragment(f"mostly free: {_describe(database)}", database.id)
    return Wait("no database is worth defragmenting")


def _leader_last(seen: Observation) -> Sequence[SeenDatabase]:
    return sorted(seen.databases, key=lambda d: (d.id == seen.own_member, d.in_use - d.size, d.id))


def _alarms(statuses: Iterable[MemberStatus]) -> Iterator[Alarm]:
    for status in statuses:
        for error in status.errors:
            for member, kind in _ALARM.findall(error):
                yield Alarm(int(member), kind)


def _describe(database: SeenDatabase) -> str:
    return f"{database.name} holds {_mib(database.in_use)} in a file of {_mib(database.size)}"


def _mib(size: int) -> str:
    return f"{size / _MIB:.0f} MiB"
