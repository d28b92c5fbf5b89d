"""What a driver must provide, as typed Protocols: nothing to inherit from.

A driver's factory hook (see `hookspecs`) returns one of these. Methods that do I/O are `async`;
everything else must return at once. Errors are those of `formal_cluster.errors`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from formal_cluster.model import (
    Capability,
    Count,
    CounterKey,
    CounterRead,
    CountersStatus,
    Entry,
    Instance,
    Listing,
    Stage,
    StoreStatus,
    View,
    WatchUpdate,
    Window,
)


@runtime_checkable
class Discovery(Protocol):
    """Answers: which instances exist, and in what state?

    A driver may have an attribute `clock_error_bound_ms`: by how many milliseconds at most this
    machine's clock is off, if its platform vouches for that, else None. It is read about once a
    second and must not block; core shows it, and warns when it is more than the counters tolerate.
    """

    async def identify(self) -> Instance:
        """This process's own instance.

        Raises:
            DiscoveryError: The process does not run where this driver works; fatal at start-up.
        """
        ...

    async def discover(self) -> View:
        """A fresh view, this instance included.

        Raises:
            DiscoveryUnavailable: The platform did not answer, or answered with nothing.
        """
        ...

    def watch(self) -> AsyncGenerator[View, None]:
        """Views from now on: one at once, then one at each change. Never ends by itself.

        A failed read is not yielded and ends nothing; the driver retries with back-off.
        """
        ...

    async def aclose(self) -> None:
        """Release connections and threads. Called once, also after errors."""
        ...


@runtime_checkable
class StateStore(Protocol):
    """An ordered key-value store shared by all instances.

    Keys and values are bytes. Every change gets a store-wide, strictly increasing revision; there
    may be revisions that belong to no change. An operation ends within seconds, by an error if need
    be: callers have deadlines of their own, and decide by themselves what to do without the store.
    A store may also be a `LeavingStore`, a `PresenceStore` or a `JournalingStore`, by having their
    methods.
    """

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What this store promises with its present settings."""
        ...

    async def start(self) -> None:
        """Begin to serve in the background and return soon, whether or not serving is possible.

        A store that cannot serve yet says why in `status()`, keeps trying, and raises
        `Unavailable` from its operations.

        Raises:
            ConfigError: The settings can never work.
        """
        ...

    async def stop(self) -> None:
        """Stop serving and release everything, child processes included. Idempotent."""
        ...

    def status(self) -> StoreStatus:
        """The present condition, from memory. Callable from any thread."""
        ...

    async def get(self, key: bytes) -> Entry | None:
        """The key's entry, at least as new as any change acknowledged before the call.

        Raises:
            Unavailable: No quorum answered.
        """
        ...

    async def list(self, prefix: bytes) -> Listing:
        """Every entry below `prefix`, all as of one revision. Large listings are paged inside.

        Raises:
            Unavailable: No quorum answered.
        """
        ...

    async def put(
        self,
        key: bytes,
        value: bytes,
        *,
        if_revision: int | None = None,
        ttl: float | None = None,
    ) -> int:
        """Write a key and return the change's revision.

        Args:
            if_revision: Write only if the key's revision is this; 0 means it must not exist.
            ttl: Seconds after which the key vanishes, with a delete event.

        Raises:
            Conflict: `if_revision` did not hold.
            Unavailable: Certainly not written.
            OutcomeUnknown: Perhaps written.
            NotWritable: Refused until an operator acts.
            StoreError: The key or the value is larger than the store takes.
        """
        ...

    async def delete(self, key: bytes, *, if_revision: int | None = None) -> int | None:
        """Remove a key; the change's revision, or None when there was no such key.

        A key that does not exist has revision 0 here, too: any other `if_revision` conflicts.

        Raises: as `put`.
        """
        ...

    def watch(
        self, prefix: bytes, *, from_revision: int | None = None
    ) -> AsyncGenerator[WatchUpdate, None]:
        """Every change below `prefix` with revision ≥ `from_revision` (None: from now on).

        Ordered and without gaps. The first update comes as soon as the watch stands, perhaps
        empty. With `from_revision=None` the watch begins at some moment between the call and that
        update, whose revision says from where: no change acknowledged before the call is shown,
        whichever instance made it, and every change that is asked for after the update is. An idle
        watch yields an empty update about every second, so that its reader can tell quiet from
        stale. Lost connections are resumed inside the driver; while the store is away the generator
        just waits. A `from_revision` that is still to come is waited for with empty updates.

        Raises:
            Compacted: That history is gone. Never skipped silently.
            Unavailable: The store was stopped.
        """
        ...


@runtime_checkable
class LeavingStore(Protocol):
    """A store whose instances can give up their part in it before they stop."""

    async def leave(self) -> None:
        """Hand this instance's part over to the others, within the driver's own time limit.

        Called at most once, before `stop`, when the instance is told to stop. Operations go on
        meanwhile. What could not be handed over is no error.
        """
        ...


@runtime_checkable
class PresenceStore(Protocol):
    """A store that can tell which instances are there.

    Without it, core takes an instance that does not answer within 14 seconds to be gone.
    """

    async def present(self) -> frozenset[str]:
        """The ids of the instances that have shown signs of life in the last seconds.

        At least as new as any sign acknowledged before the call. One that was killed may be named
        for a while; one that runs and reaches the store must be.

        Raises:
            Unavailable: No quorum answered.
        """
        ...


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One decision about the store's cluster: what was decided, on what evidence.

    Attributes:
        at: When, seconds since the Unix epoch.
        planner: Which part of the driver decided, e.g. `membership`.
        step: What it decided for, e.g. `AddLearner`; `Wait` for doing nothing.
        outcome: What became of it, as far as that is known.
    """

    at: float
    planner: str
    step: str
    evidence: str
    outcome: str = "decided"


@runtime_checkable
class JournalingStore(Protocol):
    """A store that says what it has decided about its cluster, and why."""

    def journal(self) -> Sequence[JournalEntry]:
        """The last decisions of this instance, oldest first, from memory."""
        ...


class Attempt(Protocol):
    """One access on its way to a decision.

    Exactly one of `commit` and `cancel` must be called; further calls do nothing.
    """

    @property
    def counts(self) -> Sequence[Sequence[Count]]:
        """The hits before this attempt, per read and window."""
        ...

    @property
    def revision(self) -> int:
        """Store revision the counts are current to."""
        ...

    def commit(self) -> None:
        """The access was permitted: its hits stay counted."""
        ...

    def cancel(self) -> None:
        """The access was denied: its hits are taken back, but for reads with `count_denied`."""
        ...


@runtime_checkable
class Counters(Protocol):
    """Cluster-wide sliding-window counters."""

    async def start(self) -> None:
        """Begin to follow the shared log in the background; returns at once."""
        ...

    async def stop(self) -> None:
        """Flush what can be flushed within a second, then release everything. Idempotent."""
        ...

    def status(self) -> CountersStatus:
        """The present condition, from memory. Callable from any thread."""
        ...

    def peek(self, reads: Sequence[CounterRead]) -> Sequence[Sequence[Count]]:
        """Counts from local memory. Callable from any thread."""
        ...

    def attempt(self, reads: Sequence[CounterRead]) -> Attempt:
        """Count an access in local memory (grade `eventual`). Callable from any thread."""
        ...

    def hit(self, read: CounterRead) -> Sequence[Count]:
        """Count an access that is permitted whatever the counts are; those before it, per window.

        The same as an `attempt` that is committed at once, in one call. Callable from any thread.
        """
        ...

    async def attempt_strict(self, reads: Sequence[CounterRead], *, deadline_s: float) -> Attempt:
        """Append an access to the log and return the counts before it in log order.

        Raises:
            CountersUnavailable: The log did not confirm it within `deadline_s` seconds.
        """
        ...


@runtime_checkable
class ReservingCounters(Protocol):
    """Counters that can take hits out of blocks which the log has already (grade `reserved`).

    Where they cannot, `reserved` is done as `strict`, which promises the same.
    """

    def spend(self, reads: Sequence[CounterRead]) -> Attempt | None:
        """Count an access with hits that are reserved already. Callable from any thread.

        None if there are none for some read; they are asked for then, where it looks worth it.
        """
        ...

    async def attempt_reserved(self, reads: Sequence[CounterRead], *, deadline_s: float) -> Attempt:
        """Count an access with reserved hits; wait until there are some.

        Raises:
            CountersUnavailable: The log did not confirm any within `deadline_s` seconds.
        """
        ...


@runtime_checkable
class ResettingCounters(Protocol):
    """Counters that can tell when hits will leave a window."""

    def reset_ms(self, key: CounterKey, window: Window, most: int) -> int | None:
        """Milliseconds until at most `most` hits of a key are in a window; None for never.

        From local memory, as if no further hits came. Callable from any thread.
        """
        ...


@runtime_checkable
class ThresholdCounters(Protocol):
    """Counters that keep hits as finely as policies look at them."""

    def use_thresholds(self, largest: Mapping[str, int]) -> None:
        """The policies in force have changed, or are in force for the first time.

        Callable from any thread.

        Args:
            largest: For each `CounterKey.counter`, the largest count T such that a decision may be
                another one for T + 1; without those that it is not known of.
        """
        ...


PolicyInput = dict[str, Any]
"""A policy's input document: a JSON object."""


@runtime_checkable
class Enricher(Protocol):
    """Adds fields to a policy's input before the counters are read.

    An enricher may have an attribute `fields`, a frozenset of the top-level fields it adds: then it
    is asked only if a policy or the subject of a counter reads one of them.
    """

    def enrich(self, stage: Stage, document: Mapping[str, Any]) -> Mapping[str, Any]:
        """Fields to merge into the input, nested as in the input itself; {} for none.

        Called for every decision, from any thread: it must not block. It must not change
        `document`. Existing fields are kept unless the returned mapping names them.

        Raises:
            Exception: Handled as `enrichment.on_error` says (default: the decision is a block).
        """
        ...
