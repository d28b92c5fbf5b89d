"""Whether the voters that may still be alive could form a quorum. Pure.

A voter is out of it only if that is proven:

- the platform says that its instance has stopped, and nobody who answers has its data;
- somebody who answers has its data, at another address than the members know;
- its instance answers with another member's data, or none: its disk is lost;
- an operator has vouched, for one epoch, that whoever does not answer is dead.

Silence alone proves nothing. What is decided here is whether it is *of use* to wait for the old
cluster; that it is *safe* to restore it elsewhere is `recovery`'s matter.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from formal_cluster.model import InstanceState
from formal_cluster_store_etcd.names import is_member_of
from formal_cluster_store_etcd.planning.copies import Copy
from formal_cluster_store_etcd.planning.identity import Identity
from formal_cluster_store_etcd.planning.lineage import Rank, rank
from formal_cluster_store_etcd.planning.observations import LiveEtcd, NoEtcd, Silent, Stranger
from formal_cluster_store_etcd.planning.peer_status import PeerStatus
from formal_cluster_store_etcd.planning.steps import Observation


class Quorum(enum.Enum):
    """Whether the old cluster could serve again by itself."""

    POSSIBLE = "possible"
    IMPOSSIBLE = "impossible"
    UNKNOWN = "unknown"
    """Nobody who answers knows the voters."""


@dataclass(frozen=True, slots=True)
class Gate:
    """The finding, with what it rests on."""

    quorum: Quorum
    evidence: str


def look(seen: Observation) -> Gate:
    """Judge the newest list of voters that anyone who answers has."""
    voters = newest_voters(seen)
    if not voters:
        return Gate(Quorum.UNKNOWN, "nobody who answers knows the voters")
    gone = {name: why for name, url in voters.items() if (why := _why_gone(name, url, seen))}
    needed = len(voters) // 2 + 1
    left = sorted(voters.keys() - gone.keys())
    evidence = "; ".join(
        [
            f"{needed} of {len(voters)} voters are needed, {len(left)} may be alive",
            *(f"{name} {why}" for name, why in sorted(gone.items())),
            *(f"{name} is not known to be gone" for name in left if name != seen.own.member),
        ]
    )
    return Gate(Quorum.IMPOSSIBLE if len(left) < needed else Quorum.POSSIBLE, evidence)


def operator_vouches(seen: Observation) -> bool:
    """Whether an operator has said, here or where somebody answers, that the silent are dead."""
    statuses = [probe.status for probe in seen.probes.values() if isinstance(probe, NoEtcd)]
    vouched = max([seen.own.presumed_dead, *(status.presumed_dead for status in statuses)])
    return vouched > max([seen.own.epoch, *(status.epoch for status in statuses)])


def newest_voters(seen: Observation) -> Mapping[str, str]:
    """Of all lists the one that was seen last, by the log, in the cluster of the highest rank.

    All who see the same lists so judge by the same one. Members that run have lists too.
    """
    known = list(_known_voters(seen))
    return max(known, key=lambda item: item[0])[1] if known else seen.own.voters


def _known_voters(seen: Observation) -> Iterator[tuple[tuple[Rank, int], Mapping[str, str]]]:
    own = seen.own
    own_rank = _rank(own, seen.copy_held)
    if own.voters:
        yield (own_rank, own.voters_index), own.voters
    for probe in seen.probes.values():
        if isinstance(probe, NoEtcd) and probe.status.voters:
            status = probe.status
            of = _rank(status, status.copy_held)
            yield (of, status.voters_index), status.voters
        elif isinstance(probe, LiveEtcd) and probe.index and probe.cluster_id == own.cluster_id:
            listed = {m.name: m.peer_urls[0] for m in probe.members if m.name and not m.is_learner}
            yield (own_rank, probe.index), listed


def _rank(one: Identity | PeerStatus, copy: Copy | None) -> Rank:
    return rank(one.epoch, None, one.cluster_id) if copy is None else copy.merit[0]


def _why_gone(name: str, url: str, seen: Observation) -> str | None:
    held_at = dict(_data_held(seen)).get(name)
    if held_at is not None:
        return f"is at {held_at} now, not at {url}" if held_at != url else None
    owners = [i for i in seen.expected or () if is_member_of(name, i.id)]
    for owner in owners:
        probe = seen.probes.get(owner.id, Silent("not asked"))
        if owner.id == seen.own.instance or isinstance(probe, NoEtcd | LiveEtcd):
            return f"is gone: {owner.id} answers without its data"
        if owner.state is InstanceState.STOPPED:
            return f"is gone: the platform says that {owner.id} has stopped"
    silent = not any(
        isinstance(seen.probes.get(owner.id), Stranger) for owner in owners
    ) and operator_vouches(seen)
    return "does not answer, and an operator says that it is dead" if silent else None


def _data_held(seen: Observation) -> Iterator[tuple[str, str]]:
    """The members whose data somebody who answers has, and where that is reached."""
    if seen.own.has_data:
        yield seen.own.member, seen.peer_url
    for probe in seen.probes.values():
        if isinstance(probe, NoEtcd) and probe.status.has_data:
            yield probe.status.member, probe.status.peer_url
        if isinstance(probe, LiveEtcd):
            yield from (
                (member.name, url)
                for member in probe.members
                if member.name == probe.member
                for url in member.peer_urls[:1]
            )
