"""A pod as discovery needs it, whichever API object told about it. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from formal_cluster.model import Instance, InstanceState

Document: TypeAlias = Mapping[str, Any]
"""One object of the API, as its JSON says it."""

Family: TypeAlias = Literal["ipv4", "ipv6"]

DEFAULT_GRACE_S = 30.0
"""Kubernetes' own default of `terminationGracePeriodSeconds`."""


@dataclass(frozen=True, slots=True)
class Peer:
    """One pod at one moment.

    Attributes:
        id: The pod's UID. A replacement has another one, also under the same name.
        name: The pod's name, to ask for it again.
        addresses: All that it has, its primary one first. Empty until its network is set up.
        node: The node it is bound to; None before that.
        started_at: When it was created, seconds since the Unix epoch. Not `status.startTime`,
            which comes later: all instances have to see the same time from the beginning.
        generation: The hash of the pod template that it was made from.
        grace_s: How long its containers may go on after the pod was deleted, in seconds.
    """

    id: str
    name: str
    state: InstanceState
    addresses: tuple[str, ...] = ()
    node: str | None = None
    started_at: float | None = None
    zone: str | None = None
    generation: str | None = None
    grace_s: float = DEFAULT_GRACE_S

    @property
    def may_run_unseen(self) -> bool:
        """Whether it may have a process already although its address is not known.

        A node that a pod is bound to starts it first and reports its address afterwards.
        """
        return (
            not self.addresses and self.node is not None and self.state is not InstanceState.STOPPED
        )


def preferred(addresses: Sequence[str], family: Family | None) -> str | None:
    """The first address of `family`, else the first one; None if there is none."""
    if family is not None:
        for address in addresses:
            if family_of(address) == family:
                return address
    return addresses[0] if addresses else None


def family_of(address: str) -> Family:
    """The family of an IP address."""
    return "ipv4" if ipaddress.ip_address(address).version == 4 else "ipv6"


def instance_of(peer: Peer, family: Family | None, zones: Mapping[str, str | None]) -> Instance:
    """The peer as a value of the contract.

    Its address is empty if it never had one: nobody has to reach a dead instance, its id is the
    evidence.
    """
    return Instance(
        peer.id,
        preferred(peer.addresses, family) or "",
        peer.state,
        started_at=peer.started_at,
        zone=peer.zone or zones.get(peer.node or ""),
        generation=peer.generation,
    )
