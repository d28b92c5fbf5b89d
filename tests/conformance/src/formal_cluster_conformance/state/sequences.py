"""Rule: random sequences of calls give what a model gives, and fail as small as possible.

Hypothesis makes the sequences and shrinks one that fails. It is synchronous, so it runs in a thread
and calls the driver on the event loop that the driver lives on.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine
from contextlib import aclosing
from typing import Any, Final, TypeVar

import hypothesis
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    multiple,
    run_state_machine_as_test,
)
from hypothesis.stateful import rule as step

from formal_cluster.errors import (
    Compacted,
    Conflict,
    OutcomeUnknown,
    StoreError,
    Unavailable,
)
from formal_cluster.model import Capability, Entry, Event, EventKind
from formal_cluster_conformance.bed import Bed, expect, holds, read_to
from formal_cluster_conformance.calls import ENDS_WITHIN_SECONDS, Traced
from formal_cluster_conformance.results import Violation
from formal_cluster_conformance.rules import rule

_T = TypeVar("_T")
_CALL_S: Final = 30.0
_KEYS: Final = st.sampled_from([b"a", b"a/1", b"a/2", b"b", b"\xff"])
_PREFIXES: Final = st.sampled_from([b"", b"a", b"a/", b"b", b"\xff", b"nothing"])
_EXPECTATIONS: Final = ["anything", "nothing", "the present one", "an older one"]


class StoreMachine(RuleBasedStateMachine):
    """Calls a store and a model alike, the model being the list of all changes.

    It assumes nothing of revisions but that they grow, and nothing of other keys.
    """

    watches = Bundle("watches")
    # Set by a subclass made for each run.
    store: Traced
    loop: asyncio.AbstractEventLoop
    prefixes: itertools.count[int]
    below: bytes
    away: list[StoreError]

    def __init__(self) -> None:
        super().__init__()
        self.prefix = b"%s%06d/" % (self.below, next(self.prefixes))
        self.changes: list[Event] = []
        self.begin = self.call(self.store.put(self.prefix + b"~", b"begin"))
        self.changes.append(Event(EventKind.PUT, self.prefix + b"~", b"begin", self.begin))

    def call(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """The coroutine's result, computed on the driver's loop."""
        call = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        try:
            return call.result(_CALL_S)
        except TimeoutError:
            waiting = self.store.calls.waiting()
            call.cancel()
            raise Violation(f"{waiting}. {ENDS_WITHIN_SECONDS}") from None
        except (Unavailable, OutcomeUnknown) as error:
            self.away.append(error)
            raise

    @property
    def revision(self) -> int:
        """Of the last change."""
        return self.changes[-1].revision

    def present(self) -> dict[bytes, Entry]:
        """The keys that there are, as the changes say."""
        entries: dict[bytes, Entry] = {}
        for change in self.changes:
            if change.kind is EventKind.PUT:
                entries[change.key] = Entry(change.key, change.value, change.revision)
            else:
                entries.pop(change.key)
        return entries

    def expectation(self, kind: str, key: bytes) -> tuple[int | None, int, bool]:
        """An `if_revision`, the key's revision, and whether the condition holds."""
        entry = self.present().get(key)
        actual = entry.revision if entry else 0
        wanted = {
            "anything": None,
            "nothing": 0,
            "the present one": actual,
            "an older one": max(actual - 1, 1),
        }[kind]
        return wanted, actual, wanted is None or wanted == actual

    @step(key=_KEYS, value=st.binary(max_size=3), expecting=st.sampled_from(_EXPECTATIONS))
    def put(self, key: bytes, value: bytes, expecting: str) -> None:
        """Write a key."""
        key = self.prefix + key
        if_revision, actual, condition = self.expectation(expecting, key)
        try:
            revision = self.call(self.store.put(key, value, if_revision=if_revision))
        except Conflict as conflict:
            self.conflicted(conflict, actual, condition=condition)
            return
        holds(condition, f"a put at revision {if_revision} of a key at {actual} did not conflict")
        self.changed(Event(EventKind.PUT, key, value, revision))

    @step(key=_KEYS, expecting=st.sampled_from(_EXPECTATIONS))
    def delete(self, key: bytes, expecting: str) -> None:
        """Delete a key."""
        key = self.prefix + key
        if_revision, actual, condition = self.expectation(expecting, key)
        try:
            revision = self.call(self.store.delete(key, if_revision=if_revision))
        except Conflict as conflict:
            self.conflicted(conflict, actual, condition=condition)
            return
        holds(condition, f"a delete at {if_revision} of a key at {actual} did not conflict")
        expect(actual == 0, revision is None, f"deleting a key at revision {actual} returned None")
        if revision is not None:
            self.changed(Event(EventKind.DELETE, key, b"", revision))

    @step(key=_KEYS)
    def get(self, key: bytes) -> None:
        """Read a key."""
        key = self.prefix + key
        expect(self.present().get(key), self.call(self.store.get(key)), "reading a key")

    @step(prefix=_PREFIXES)
    def list_below(self, prefix: bytes) -> None:
        """List keys."""
        prefix = self.prefix + prefix
        listing = self.call(self.store.list(prefix))
        present = self.present()
        expected = tuple(present[key] for key in sorted(present) if key.startswith(prefix))
        expect(expected, listing.entries, f"listing {prefix!r}")
        holds(listing.revision >= self.revision, "a listing is older than the last change")

    @step(target=watches, prefix=_PREFIXES, back=st.integers(0, 20))
    def open_watch(self, prefix: bytes, back: int) -> tuple[bytes, int]:
        """A watch is a prefix and a position, so it can be resumed at any time."""
        past = [change.revision for change in self.changes[-back:]] if back else []
        return prefix, past[0] if past else self.revision + 1

    @step(target=watches, watch=consumes(watches))
    def read_watch(self, watch: tuple[bytes, int]) -> object:
        """Everything since the position, nothing twice; then the position is here."""
        prefix, begin = watch
        if not {Capability.WATCH, Capability.WATCH_HISTORY} <= self.store.capabilities:
            return multiple()
        # A last change to wait for: a store need not tell how far a watch is meanwhile.
        self.put(prefix + b"~", b"", "anything")
        try:
            events = self.call(self.read(self.prefix + prefix, begin))
        except Compacted as told:
            holds(told.oldest > begin, f"Compacted({told.oldest}) for a watch from {begin}")
            return multiple()
        expected = [
            change
            for change in self.changes
            if change.revision >= begin and change.key.startswith(self.prefix + prefix)
        ]
        expect(expected, events, f"watching {prefix!r} from {begin}")
        return prefix, self.revision + 1

    async def read(self, prefix: bytes, begin: int) -> list[Event]:
        """The events up to the last change."""
        async with aclosing(self.store.watch(prefix, from_revision=begin)) as watch:
            return await read_to(watch, self.revision)

    def conflicted(self, conflict: Conflict, actual: int, *, condition: bool) -> None:
        """A conflict has to be true, and may tell the key's revision."""
        holds(not condition, f"a condition that holds conflicted: {conflict}")
        holds(conflict.actual in (None, actual), f"Conflict.actual is {conflict.actual}")

    def changed(self, change: Event) -> None:
        """A change was acknowledged."""
        holds(self.revision < change.revision, f"{change} has no larger revision than before")
        self.changes.append(change)


@rule(
    "ST-SEQ-01",
    "Any sequence of calls, one after the other, gives what the specification gives.",
    needs=[Capability.COMPARE_AND_SWAP],
    deadline_s=300,
)
async def any_sequence(bed: Bed) -> None:
    """Found by Hypothesis; the smallest sequence that fails is told."""
    away: list[StoreError] = []
    machine = type(
        "Sequence",
        (StoreMachine,),
        {
            "store": await bed.store(),
            "loop": asyncio.get_running_loop(),
            "prefixes": itertools.count(),
            "below": bed.prefix,
            "away": away,
        },
    )
    examples = bed.size(25, 150)
    settings = hypothesis.settings(
        max_examples=examples,
        stateful_step_count=30,
        deadline=None,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink],
    )
    seeded = hypothesis.seed(bed.random.getrandbits(32))(machine)
    try:
        await asyncio.to_thread(run_state_machine_as_test, seeded, settings=settings)
    except Exception:
        if away:  # which Hypothesis, that repeats what failed, would report as a fickle test
            raise away[0] from None
        raise
    bed.evidence.operations += examples * 30
