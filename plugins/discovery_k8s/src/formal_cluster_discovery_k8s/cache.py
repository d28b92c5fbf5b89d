"""What lists and watch events add up to: the pods there are, and those that there were. Pure.

A list and a watch are read at the same time, and a list may be older than events already seen, or
the other way round. Both carry a resource version, and one cache only moves forward: a list says
everything up to its version, so older events, and lists older than it, change nothing. (Kubernetes
documents that versions of one resource can be compared as numbers. Where they are none, everything
counts as new.)

Nothing here is ever stopped and then not: STOPPED is final for a UID.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from formal_cluster.model import InstanceState
from formal_cluster_discovery_k8s import departures
from formal_cluster_discovery_k8s.departures import Departed, Finding
from formal_cluster_discovery_k8s.peers import Document, Peer

_REMEMBER_S = 24 * 3600.0
_REMEMBER_AT_MOST = 1_000


@dataclass(frozen=True, slots=True)
class Listing:
    """All objects of a list, as of one resource version."""

    items: tuple[Document, ...]
    version: str


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a watch: ADDED, MODIFIED, DELETED or BOOKMARK, and the object."""

    kind: str
    object: Document

    @property
    def version(self) -> str:
        """The resource version that the watch has reached with this event."""
        version: str = self.object["metadata"]["resourceVersion"]
        return version


class Cache:
    """The pods that a list and its watch told about. `now` is the caller's clock, in seconds.

    Args:
        parse: The peers that one object stands for.
        margin_s: How long a vanished pod's node must stay Ready to prove the pod dead.

    Attributes:
        version: The newest resource version taken in; empty before the first list.
    """

    def __init__(self, parse: Callable[[Document], Iterable[Peer]], margin_s: float) -> None:
        self._parse = parse
        self._margin_s = margin_s
        self._objects: dict[str, tuple[Peer, ...]] = {}
        self._mentions: Counter[str] = Counter()
        self._departed: dict[str, Departed] = {}
        self.version = ""

    @property
    def synced(self) -> bool:
        """Whether a list has been taken in."""
        return self.version != ""

    def replace(self, listing: Listing, now: float) -> None:
        """Take in a list."""
        if _is_older(listing.version, self.version):
            return
        self.version = listing.version
        listed = {item["metadata"]["uid"]: item for item in listing.items}
        # What is new first: an endpoint may have moved from a slice that is gone.
        for uid, item in listed.items():
            self._store(uid, tuple(self._parse(item)), now)
        for uid in self._objects.keys() - listed.keys():
            self._store(uid, (), now)
        self._forget(now)

    def fold(self, event: Event, now: float) -> None:
        """Take in a watch event."""
        if event.kind == "BOOKMARK" or not _is_news(event.version, self.version):
            return
        self.version = event.version
        uid = event.object["metadata"]["uid"]
        # A deletion too carries the object's last state, and it may be the first to show it.
        self._store(uid, tuple(self._parse(event.object)), now)
        if event.kind == "DELETED":
            self._store(uid, (), now)
        self._forget(now)

    def peers(self) -> Iterator[Peer]:
        """All that are listed, then those that are remembered. An id may come more than once."""
        for peers in self._objects.values():
            yield from peers
        for departed in self._departed.values():
            yield departed.peer

    def to_look_at(self, now: float) -> list[Departed]:
        """The departed pods that are due for a look."""
        return [
            departed
            for departed in self._departed.values()
            if departed.look_at is not None and departed.look_at <= now
        ]

    def next_look(self) -> float | None:
        """When the next look is due; None if none is."""
        looks = (departed.look_at for departed in self._departed.values())
        return min((look for look in looks if look is not None), default=None)

    def looked_at(self, id_: str, finding: Finding | None, now: float) -> bool:
        """Take in what a look at a departed pod found, None if it failed. True if it is dead.

        In the meantime the pod may have come back, been forgotten, or been looked at before.
        """
        departed = self._departed.get(id_)
        if departed is None or departed.look_at is None:
            return False
        if finding is None:
            departed = departures.look_failed(departed, now, self._margin_s)
        else:
            departed = departures.conclude(departed, finding, self._margin_s)
        self._departed[id_] = departed
        return departed.peer.state is InstanceState.STOPPED

    def _store(self, uid: str, peers: tuple[Peer, ...], now: float) -> None:
        """Put what an object stands for in place of what it stood for before."""
        before = {peer.id: peer for peer in self._objects.pop(uid, ())}
        if peers:
            self._objects[uid] = tuple(self._come(peer, before.get(peer.id)) for peer in peers)
        for peer in before.values():
            self._mentions[peer.id] -= 1
            if not self._mentions[peer.id]:
                del self._mentions[peer.id]
                # One without an address was no instance; if dead, it is evidence all the same.
                if peer.addresses or peer.state is InstanceState.STOPPED:
                    self._departed[peer.id] = departures.depart(peer, now)

    def _come(self, peer: Peer, before: Peer | None) -> Peer:
        self._mentions[peer.id] += 1
        departed = self._departed.pop(peer.id, None)
        if before is None and departed is not None:
            before = departed.peer
        return peer if before is None else _succeed(before, peer)

    def _forget(self, now: float) -> None:
        """Old departures would pile up with each deployment. They are in the order of departure."""
        while self._departed:
            oldest = next(iter(self._departed.values()))
            if len(self._departed) <= _REMEMBER_AT_MOST and now - oldest.since < _REMEMBER_S:
                return
            del self._departed[oldest.peer.id]


def _succeed(known: Peer, peer: Peer) -> Peer:
    """The newest state of a peer, with what it must not lose.

    A pod that failed may have its address taken out of its status.
    """
    is_dead = InstanceState.STOPPED in {known.state, peer.state}
    state = InstanceState.STOPPED if is_dead else peer.state
    return replace(peer, state=state, addresses=peer.addresses or known.addresses)


def _is_older(version: str, than: str) -> bool:
    return version.isdecimal() and than.isdecimal() and int(version) < int(than)


def _is_news(version: str, known: str) -> bool:
    return version != known and not _is_older(version, known)
