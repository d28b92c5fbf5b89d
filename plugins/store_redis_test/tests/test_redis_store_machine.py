"""Random sequences of store calls against a model, a list of changes, on a real Redis.

The model assumes nothing of revisions but that they grow.
"""

import asyncio
from contextlib import aclosing

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from formal_cluster.errors import Compacted, Conflict
from formal_cluster.model import Entry, Event, EventKind

pytestmark = pytest.mark.redis

KEYS = st.sampled_from([b"a", b"a/1", b"a/2", b"b", b"\xff"])
PREFIXES = st.sampled_from([b"", b"a", b"a/", b"b", b"\xff", b"nothing"])
VALUES = st.binary(max_size=3)
EXPECTATIONS = st.sampled_from(["anything", "nothing", "the present one", "an older one"])


class StoreMachine(RuleBasedStateMachine):
    """Calls a store and the model alike and compares what comes back."""

    watches = Bundle("watches")

    def __init__(self, build_store, history=None):
        super().__init__()
        self.runner = asyncio.Runner()
        self.history = history
        self.store = build_store()
        self.runner.run(self.store.start())
        self.changes: list[Event] = []
        self.begin = self.runner.run(self.store.list(b"")).revision

    def teardown(self):
        self.runner.run(self.store.stop())
        self.runner.close()

    # ── the model ────────────────────────────────────────────────────────────────────────────

    @property
    def revision(self):
        return self.changes[-1].revision if self.changes else self.begin

    def present(self):
        entries = {}
        for change in self.changes:
            if change.kind is EventKind.PUT:
                entries[change.key] = Entry(change.key, change.value, change.revision)
            else:
                entries.pop(change.key)
        return entries

    def expectation(self, kind, key):
        """An `if_revision`, and whether it holds."""
        entry = self.present().get(key)
        actual = entry.revision if entry else 0
        wanted = {
            "anything": None,
            "nothing": 0,
            "the present one": actual,
            "an older one": max(actual - 1, 1),
        }[kind]
        return wanted, actual, wanted is None or wanted == actual

    # ── rules ────────────────────────────────────────────────────────────────────────────────

    def outcome(self, call):
        """What a call returned, or the error that the contract foresees."""
        try:
            return self.runner.run(call)
        except (Conflict, Compacted) as error:
            return error

    @rule(key=KEYS, value=VALUES, expecting=EXPECTATIONS)
    def put(self, key, value, expecting):
        if_revision, actual, holds = self.expectation(expecting, key)
        outcome = self.outcome(self.store.put(key, value, if_revision=if_revision))
        assert holds == (not isinstance(outcome, Conflict))
        if not holds:
            assert actual == outcome.actual
            return
        assert self.revision < outcome
        self.changes.append(Event(EventKind.PUT, key, value, outcome))

    @rule(key=KEYS, expecting=EXPECTATIONS)
    def delete(self, key, expecting):
        if_revision, actual, holds = self.expectation(expecting, key)
        outcome = self.outcome(self.store.delete(key, if_revision=if_revision))
        assert holds == (not isinstance(outcome, Conflict))
        if not holds:
            assert actual == outcome.actual
            return
        assert (actual == 0) == (outcome is None)
        if outcome is not None:
            assert self.revision < outcome
            self.changes.append(Event(EventKind.DELETE, key, b"", outcome))

    @rule(key=KEYS)
    def get(self, key):
        assert self.present().get(key) == self.runner.run(self.store.get(key))

    @rule(prefix=PREFIXES)
    def list_below(self, prefix):
        listing = self.runner.run(self.store.list(prefix))

        present = self.present()
        expected = tuple(present[key] for key in sorted(present) if key.startswith(prefix))
        assert expected == listing.entries
        assert self.revision == listing.revision

    @rule(target=watches, prefix=PREFIXES, back=st.integers(0, 20))
    def open_watch(self, prefix, back):
        """A watch is (prefix, from_revision): held as a position, so it can be resumed any time."""
        past = [change.revision for change in self.changes[-back:]] if back else []
        return prefix, past[0] if past else self.revision + 1

    @rule(target=watches, watch=consumes(watches))
    def read_watch(self, watch):
        """Everything since the position, nothing twice; then the position is here."""
        prefix, from_revision = watch
        # A last change to wait for: a store need not tell how far a watch is while nothing changes.
        self.put(prefix + b"~", b"", "anything")
        events = self.outcome(self.read(prefix, from_revision))
        if isinstance(events, Compacted):
            assert self.may_be_compacted(from_revision, events.oldest)
            return multiple()
        expected = [
            change
            for change in self.changes
            if change.revision >= from_revision and change.key.startswith(prefix)
        ]
        assert expected == events
        return prefix, self.revision + 1

    async def read(self, prefix, from_revision):
        events = []
        async with aclosing(self.store.watch(prefix, from_revision=from_revision)) as watch:
            async for update in watch:
                events += update.events
                if update.revision >= self.revision:
                    return events
        raise AssertionError("a watch ended by itself")

    def may_be_compacted(self, from_revision, oldest):
        if self.history is None:
            return False
        kept = [change.revision for change in self.changes[-self.history :]]
        return kept[0] == oldest and from_revision < oldest

    @invariant()
    def status_tells_the_revision(self):
        assert self.revision == self.store.status().revision


STEPS = settings(
    max_examples=15,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def test_any_sequence_of_calls_does_what_the_model_says(redis_shared, build_store):
    run_state_machine_as_test(
        lambda: StoreMachine(lambda: build_store(redis_shared)), settings=STEPS
    )


def test_with_next_to_no_history_a_watch_is_without_gap_or_compacted(redis_shared, build_store):
    run_state_machine_as_test(
        lambda: StoreMachine(lambda: build_store(redis_shared, history_changes=4), history=4),
        settings=STEPS,
    )
