"""The value types of the contract: what drivers take and return. No behaviour beyond parsing.

The data's way: `View` (discovery) → `Entry`, `WatchUpdate` (store) → `CounterKey`, `Count`
(counters) → policy input (enrichment, policy) → `Decision`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from formal_cluster.counts import BOUNDS as BOUNDS
from formal_cluster.counts import Count as Count
from formal_cluster.counts import CounterKey as CounterKey
from formal_cluster.counts import CounterRead as CounterRead
from formal_cluster.counts import CountersStatus as CountersStatus
from formal_cluster.counts import Grade as Grade
from formal_cluster.counts import OnDegraded as OnDegraded
from formal_cluster.counts import Window as Window

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"
"""A JSON value. Counters are always `int`: Rego orders strings above numbers."""


# ── discovery ────────────────────────────────────────────────────────────────────────────────


class InstanceState(enum.StrEnum):
    """What the platform says of an instance."""

    RUNNING = "running"
    STARTING = "starting"
    STOPPED = "stopped"
    """The platform vouches that it is dead and will not come back. Evidence for removal."""
    UNKNOWN = "unknown"
    """Expected or seen once, nothing certain. Never evidence of anything."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One proxy process, as discovery sees it.

    Attributes:
        id: The identity the platform gives it (ECS task ARN, pod UID) or the configured one.
            Two lives of one process share an id only if the platform says so.
        address: IP address or host name that others reach it at, without a port. May be empty of
            one that is STOPPED: its id is the evidence.
        state: What the platform says of it.
        client_port: The state server's client port when it differs from the store's setting.
        peer_port: Likewise for the peer port.
        started_at: When the platform started it, seconds since the Unix epoch.
        zone: Availability zone, for spreading members.
        generation: Deployment or revision, for preferring newer instances.
    """

    id: str
    address: str
    state: InstanceState = InstanceState.UNKNOWN
    client_port: int | None = None
    peer_port: int | None = None
    started_at: float | None = None
    zone: str | None = None
    generation: str | None = None


@dataclass(frozen=True, slots=True)
class View:
    """All instances a driver knows of at one moment, itself included.

    Attributes:
        instances: Sorted by id, ids unique.
        complete: Whether the view has every instance that the platform tells of; False if only a
            part of the sources could be read. Absence is no evidence of death: only STOPPED is.
    """

    instances: tuple[Instance, ...]
    complete: bool = True


# ── store ────────────────────────────────────────────────────────────────────────────────────


class Capability(enum.StrEnum):
    """What a store promises. Declared by the driver, checked by the conformance suite,
    enforced by core: a feature that needs a capability is refused on a store without it."""

    LINEARIZABLE_READS = "linearizable-reads"
    LINEARIZABLE_WRITES = "linearizable-writes"
    COMPARE_AND_SWAP = "compare-and-swap"
    TTL = "ttl"
    WATCH = "watch"
    WATCH_HISTORY = "watch-history"
    """A watch can start at an older revision and sees every change since, or `Compacted`."""
    LIST_AT_ONE_REVISION = "list-at-one-revision"
    SURVIVES_RESTART = "survives-restart"
    SURVIVES_MINORITY_LOSS = "survives-minority-loss"
    SHARED = "shared"
    """Several instances see the same keys. A store without it serves one process alone."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One key as stored. `revision` is that of its last change."""

    key: bytes
    value: bytes
    revision: int


@dataclass(frozen=True, slots=True)
class Listing:
    """All entries below a prefix at one `revision`, sorted by key."""

    entries: tuple[Entry, ...]
    revision: int


class EventKind(enum.StrEnum):
    """What happened to a key."""

    PUT = "put"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Event:
    """One change of one key. `value` is empty for a deletion."""

    kind: EventKind
    key: bytes
    value: bytes
    revision: int


@dataclass(frozen=True, slots=True)
class WatchUpdate:
    """What a watch yields: every change of the prefix up to and including `revision`.

    `events` are ordered by revision and may be empty: then nothing changed and the update only
    says how far the watch is. A revision's events are never torn between two updates.
    """

    events: tuple[Event, ...]
    revision: int


class StoreState(enum.StrEnum):
    """How far a store has come."""

    STARTING = "starting"
    """Forming, joining or catching up; it has not served yet."""
    SERVING = "serving"
    """Reads and writes are answered by a quorum."""
    READ_ONLY = "read-only"
    """A quorum answers reads, and nothing can be written until the cause in `last_error` goes."""
    NO_QUORUM = "no-quorum"
    """It served once and cannot now; it keeps trying."""
    FAILED = "failed"
    """It cannot start until the cause in `last_error` goes; it keeps trying."""
    STOPPED = "stopped"


class Role(enum.StrEnum):
    """An instance's part in the store's cluster."""

    VOTER = "voter"
    LEARNER = "learner"
    CLIENT = "client"


@dataclass(frozen=True, slots=True)
class Member:
    """One state server of the store's cluster.

    Attributes:
        id: The id of the instance it belongs to.
        healthy: Whether it answered when it was last asked; None before that.
    """

    id: str
    address: str
    role: Role
    healthy: bool | None = None


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """A store's condition, from memory: reading it does no I/O.

    Attributes:
        stale_ms: Milliseconds since a quorum last answered; None if it never did.
        leader: Instance id of the leader, None when there is none or it is not known.
        members: Empty if the store's servers are none of the instances.
        cluster_id: Which history the revisions belong to: another one if they have begun anew.
        last_error: What keeps the store from serving, with the mend; None when it serves.
        warnings: What an operator should look after though it may serve, with the mend.
    """

    state: StoreState
    role: Role | None = None
    leader: str | None = None
    members: tuple[Member, ...] = ()
    cluster_id: str | None = None
    revision: int | None = None
    stale_ms: int | None = None
    last_error: str | None = None
    warnings: tuple[str, ...] = ()


# ── policy ───────────────────────────────────────────────────────────────────────────────────


class Stage(enum.StrEnum):
    """A point in a request's life at which policies are asked."""

    SESSION = "session"
    PRE_REQUEST = "pre_request"
    POST_REQUEST = "post_request"

    @property
    def rules(self) -> tuple[str, ...]:
        """Rule names that a policy may use for this stage, newer name last."""
        return _STAGE_RULES[self]


_STAGE_RULES = {
    Stage.SESSION: ("session",),
    Stage.PRE_REQUEST: ("pre_request", "request"),
    Stage.POST_REQUEST: ("post_request", "response"),
}
STAGE_BY_NAME: Mapping[str, Stage] = {
    rule: stage for stage, rules in _STAGE_RULES.items() for rule in rules
}
"""Every accepted stage name, older and newer, and the stage it means."""


class ClusterState(enum.StrEnum):
    """How this instance stands to the others."""

    CLUSTERED = "clustered"
    DEGRADED = "degraded"
    """It was part of the cluster and cannot reach a quorum, or is not caught up."""
    STANDALONE = "standalone"
    """It never joined: the state server has not started or cannot."""


# Named tuples: every decision makes one or more of each, and a frozen dataclass costs four times
# as much to make.


class CounterReading(NamedTuple):
    """One counter value as a policy saw it, the present attempt included where it counts.

    Attributes:
        value: Never less than the true number of the hits that are known of.
        exact: False when `value` was rounded up.
        lower: Those of `value` that are certainly in the window.
        upper: The most that it may truly be, if other instances have counted what is not known
            here. Equal to `value` while that is current, and in the log's order.
        thresholds: As in `CounterRead`, of this window.
    """

    path: str
    key: CounterKey
    window: str
    value: int
    exact: bool
    lower: int
    upper: int
    thresholds: tuple[int, ...] | None = None

    @property
    def limit(self) -> int | None:
        """The next count at which a policy may change its mind; the last one if that is passed.

        None if there is none, or if the thresholds are not known.
        """
        if not self.thresholds:
            return None
        return next((t for t in self.thresholds if t >= self.value), self.thresholds[-1])

    @property
    def remaining(self) -> int | None:
        """How many accesses more the limit leaves room for after this one; None without limit."""
        limit = self.limit
        return None if limit is None else max(0, limit - self.value)


class PolicyOutcome(NamedTuple):
    """What one policy returned. `result` is None when the stage's rule was undefined."""

    policy: str
    result: Mapping[str, JSON] | None
    error: str | None = None


class Decision(NamedTuple):
    """The merged answer of all policies at one stage, with the counters it saw.

    Attributes:
        id: Unique; joins the answer with the decision log.
        result: The winning policy's result; None when no policy had anything to say.
        grade: The grade it was decided with; None when it read no counter.
        revision: Store revision the counters were current to.
        stale_ms: How long before the decision that was last known; None if it never was.
        reason: Set when the framework decided, not a policy (error, degraded counter).
    """

    id: str
    stage: Stage
    result: Mapping[str, JSON] | None
    counters: tuple[CounterReading, ...] = ()
    outcomes: tuple[PolicyOutcome, ...] = ()
    cluster: ClusterState = ClusterState.STANDALONE
    grade: Grade | None = None
    revision: int | None = None
    reason: str | None = None
    stale_ms: int | None = None

    @property
    def action(self) -> str:
        """What to do: the result's action, `allow` when there is no result."""
        action = None if self.result is None else self.result.get("action")
        return action if isinstance(action, str) else "allow"

    @property
    def permitted(self) -> bool:
        """Whether the access may happen (perhaps masked or rewritten). Denied ones do not count."""
        return self.action != "block"
