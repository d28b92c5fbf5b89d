"""Whether a pod that is not listed any more is dead. Pure.

A pod vanishes in two ways. Its node ends the containers, reports the final phase, and then removes
the pod: the phase was seen, it is stopped. Or it was deleted by force, or lost with its node, and
nobody has vouched for anything. Then it is unknown, until all of this has been seen:

- The pod is asked for and does not exist. Leaving a list is not enough: a pod whose labels were
  changed leaves it and lives.
- Its node is Ready, in one unbroken stretch that began before the first of these reads and goes on
  through all of them, for the pod's grace period and a margin. A node in touch with the control
  plane ends the containers of pods that do not exist, within their grace period. The margin covers
  the time for which a lost node still counts as Ready.

A read that fails breaks the stretch: while the control plane is away, so is its knowledge.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from formal_cluster.model import InstanceState
from formal_cluster_discovery_k8s.nodes import Readiness
from formal_cluster_discovery_k8s.peers import Peer

_READS_PER_MARGIN = 4
_LONGEST_PAUSE_S = 1_200.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look at a departed pod and its node found.

    Attributes:
        pod: What the pod's own object says, if it still exists.
        node: The node's readiness; None if it is not Ready or may not be read.
        began: When the look began. The clock is the caller's; only differences count.
        ended: When it had ended.
    """

    pod: InstanceState | None
    node: Readiness | None
    began: float
    ended: float


@dataclass(frozen=True, slots=True)
class Departed:
    """A pod that is not listed any more.

    Attributes:
        peer: As last seen; its state is what may be said of it now.
        since: When it was missed first.
        look_at: When to look (again); None if nothing is left to find out.
        ready: The stretch of readiness that is being counted, …
        counted_from: … and when the look ended that began the count.
    """

    peer: Peer
    since: float
    look_at: float | None
    ready: Readiness | None = None
    counted_from: float = 0.0


def depart(peer: Peer, now: float) -> Departed:
    """The pod is not listed any more."""
    if peer.state is InstanceState.STOPPED:
        return Departed(peer, now, look_at=None)
    return Departed(replace(peer, state=InstanceState.UNKNOWN), now, look_at=now)


def conclude(departed: Departed, finding: Finding, margin_s: float) -> Departed:
    """What may be said after a look."""
    if finding.pod is InstanceState.STOPPED:
        return _dead(departed)
    if finding.pod is not None or finding.node is None:
        return _count_again(departed, finding.ended, margin_s)
    pause = margin_s / _READS_PER_MARGIN
    if finding.node != departed.ready:
        return replace(
            departed,
            ready=finding.node,
            counted_from=finding.ended,
            look_at=finding.ended + pause,
        )
    if finding.began - departed.counted_from >= departed.peer.grace_s + margin_s:
        return _dead(departed)
    return replace(departed, look_at=finding.ended + pause)


def look_failed(departed: Departed, now: float, margin_s: float) -> Departed:
    """A look did not succeed."""
    return _count_again(departed, now, margin_s)


def _dead(departed: Departed) -> Departed:
    stopped = replace(departed.peer, state=InstanceState.STOPPED)
    return replace(departed, peer=stopped, look_at=None)


def _count_again(departed: Departed, now: float, margin_s: float) -> Departed:
    """The longer it lasts, the less often it is looked at: a lost node may stay lost for hours."""
    lasted = now - departed.since
    pause = max(margin_s, min(lasted, _LONGEST_PAUSE_S)) / _READS_PER_MARGIN
    return replace(departed, ready=None, look_at=now + pause)
