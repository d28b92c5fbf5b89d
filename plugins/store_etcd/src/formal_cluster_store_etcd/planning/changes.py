"""What `membership` decides on, and the changes it decides for. Pure values.

All durations are measured by the leader that asks, from when it first saw the thing; a new leader
begins anew. So they never depend on two clocks, and err on the patient side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import TypeAlias

from formal_cluster.model import View
from formal_cluster_store_etcd.planning.presence import Presence


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings that matter here; see `EtcdSettings`.

    Attributes:
        voters: Most voters there may be.
        replace_silent_after_s: A voter silent for so long is replaced if the platform says that it
            runs.
        stalled_learner_s: A learner that has not advanced for so long gives its place to another.
        shrink_after_s: Voters too many lose their vote when nobody came or went for so long.
        leaving_settle_s: How long to watch whether everyone is leaving before acting on it.
        replace_leaver_within_s: A voter that leaves stays so long while another takes its place.
    """

    voters: int
    replace_silent_after_s: float
    stalled_learner_s: float
    shrink_after_s: float
    leaving_settle_s: float
    replace_leaver_within_s: float


@dataclass(frozen=True, slots=True)
class SeenMember:
    """A member, as the leader sees it.

    Attributes:
        name: Empty until it has started once.
        healthy: Whether it answered when it was last asked, a moment ago.
        index: Last log entry it knows to be committed; 0 if it never answered.
        healthy_s: How long it has answered without a break.
        silent_s: How long it has not answered; 0 while it is healthy.
        stalled_s: How long it has not advanced; 0 while it is in sync.
    """

    id: int
    name: str
    peer_urls: tuple[str, ...]
    is_learner: bool
    healthy: bool
    index: int = 0
    healthy_s: float = inf
    silent_s: float = 0.0
    stalled_s: float = 0.0

    def __str__(self) -> str:
        return self.name or f"the member not started yet at {' '.join(self.peer_urls)}"


@dataclass(frozen=True, slots=True)
class Observation:
    """All that `plan` decides on.

    Attributes:
        own_instance: The leader's instance.
        own_member: The leader's member id.
        view: What discovery last said; None if its last answer failed or is too old.
        leaving_s: How long each instance has been leaving, by instance id; 0 if it is missing.
        settled_s: How long the same instances have been there.
        evicted: Instances whose learner was evicted, and which are not to be added for a while.
        add_refused: Whether the cluster refused the last addition because a voter is silent: etcd
            before 3.5.30 and 3.6.11 does.
    """

    own_instance: str
    own_member: int
    members: tuple[SeenMember, ...]
    presences: tuple[Presence, ...]
    view: View | None
    rules: Rules
    leaving_s: Mapping[str, float] = field(default_factory=dict)
    settled_s: float = 0.0
    evicted: frozenset[str] = frozenset()
    add_refused: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Change nothing now."""

    evidence: str


@dataclass(frozen=True, slots=True)
class AddLearner:
    """Add an instance's member, without a vote."""

    evidence: str
    instance: str
    peer_url: str


@dataclass(frozen=True, slots=True)
class Promote:
    """Give a learner its vote."""

    evidence: str
    member_id: int


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove a member for good.

    Attributes:
        evicted: Its instance, if that is not to be added again for a while.
    """

    evidence: str
    member_id: int
    evicted: str | None = None


@dataclass(frozen=True, slots=True)
class MoveLeader:
    """Hand the leadership over to another voter. The only step that changes no member."""

    evidence: str
    member_id: int


@dataclass(frozen=True, slots=True)
class UpdateAddress:
    """Tell the cluster where a member is reached now."""

    evidence: str
    member_id: int
    peer_url: str


Change: TypeAlias = AddLearner | Promote | Remove | MoveLeader | UpdateAddress
