"""A replica against the whole history, with a stream that forgets as JetStream does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formal_cluster.model import EventKind
from formal_cluster_store_nats.messages import Change, Compaction, Mark, Message
from formal_cluster_store_nats.replica import HistoryLost, Replica

MANY = 1000


class Stream:
    """All messages ever, and those that are left."""

    def __init__(self) -> None:
        self.all: list[Message] = []
        self.left: dict[int, Message] = {}
        self.follower = Replica(last=0, messages=0)

    def append(self, make) -> None:
        message = make(len(self.all) + 1)
        self.all.append(message)
        self.left[message.revision] = message
        self.follower.apply(message, 0.0)

    def purge(self, before: int) -> None:
        """As `upkeep.compact` does it, up to telling it."""
        before = min(before, len(self.all) + 1)
        cuts = dict(self.follower.superseded(before))
        self.left = {
            revision: message
            for revision, message in self.left.items()
            if revision >= (cuts.get(message.key, 0) if isinstance(message, Change) else before)
        }

    def compact(self, before: int) -> None:
        self.purge(before)
        self.append(lambda revision: Compaction(revision, before))

    def replay(self) -> Replica:
        """What an instance has that starts now."""
        replica = Replica(last=len(self.all), messages=len(self.left))
        for revision in sorted(self.left):
            replica.apply(self.left[revision], 0.0)
        return replica

    def entries(self) -> dict[bytes, tuple[bytes, int]]:
        found: dict[bytes, tuple[bytes, int]] = {}
        for message in self.all:
            if isinstance(message, Change):
                found.pop(message.key, None)
                if message.value is not None:
                    found[message.key] = (message.value, message.revision)
        return found

    def changes_from(self, start: int) -> list[tuple[int, bytes]]:
        return [
            (message.revision, message.key)
            for message in self.all[start - 1 :]
            if isinstance(message, Change)
        ]


keys = st.sampled_from([b"a", b"b", b"ab"])
puts = st.tuples(st.just("put"), keys)
deletes = st.tuples(st.just("delete"), keys)
marks = st.tuples(st.just("mark"), st.none())
compactions = st.tuples(st.just("compact"), st.integers(1, 40))
lives = st.lists(st.one_of(puts, puts, deletes, marks, compactions), max_size=40)


def live(stream: Stream, steps) -> Stream:
    for kind, what in steps:
        if kind == "compact":
            stream.compact(what)
        elif kind == "mark":
            stream.append(lambda revision: Mark(revision, "one"))
        else:
            value = b"v" if kind == "put" else None
            stream.append(lambda revision, key=what, value=value: Change(revision, key, value))
    return stream


def held(replica: Replica) -> dict[bytes, tuple[bytes, int]]:
    return {entry.key: (entry.value, entry.revision) for entry in replica.below(b"").entries}


def assert_has_everything_since_oldest(stream: Stream, replica: Replica) -> None:
    events, end = replica.events(b"", replica.oldest, MANY)
    assert stream.changes_from(replica.oldest) == [(e.revision, e.key) for e in events]
    assert len(stream.all) == end


@given(lives)
def test_whoever_follows_and_whoever_comes_later_have_the_same_keys(steps):
    stream = live(Stream(), steps)
    for replica in (stream.follower, stream.replay()):
        assert replica.complete
        assert stream.entries() == held(replica)
        assert_has_everything_since_oldest(stream, replica)


@given(lives, lives)
def test_whoever_came_later_follows_as_well_as_the_others(before, after):
    stream = live(Stream(), before)
    late, seen = stream.replay(), len(stream.all)
    live(stream, after)
    for message in stream.all[seen:]:
        late.apply(message, 0.0)
    assert stream.entries() == held(late)
    assert_has_everything_since_oldest(stream, late)


@given(lives, st.integers(0, 40), st.integers(1, 45))
def test_what_is_discarded_during_a_replay_leaves_no_key_behind(steps, read, before):
    stream = live(Stream(), steps)
    replica = Replica(last=len(stream.all), messages=len(stream.left))
    early = sorted(stream.left)[:read]
    for revision in early:
        replica.apply(stream.left[revision], 0.0)
    at = early[-1] if early else 0
    stream.compact(before)
    try:
        for revision in sorted(stream.left):
            if revision > at:
                replica.apply(stream.left[revision], 0.0)
    except HistoryLost:
        return
    assert replica.complete
    assert stream.entries() == held(replica)
    assert_has_everything_since_oldest(stream, replica)


def test_a_gap_after_the_replay_is_noticed():
    replica = Replica(last=0, messages=0)
    replica.apply(Change(1, b"a", b"1"), 0.0)
    with pytest.raises(HistoryLost, match="between revisions 1 and 3"):
        replica.apply(Change(3, b"a", b"3"), 0.0)


def test_only_changes_below_the_prefix_are_told_but_how_far_it_went_always():
    replica = Replica(last=0, messages=0)
    for revision, key in enumerate([b"a/1", b"b/1", b"a/2", b"b/2"], 1):
        replica.apply(Change(revision, key, b"v"), 0.0)
    events, end = replica.events(b"a/", 1, most=3)
    assert ([1, 3], 3) == ([event.revision for event in events], end)
    assert ((), 4) == replica.events(b"a/", 4, most=3)


def test_a_deletion_is_an_event_without_a_value():
    replica = Replica(last=0, messages=0)
    replica.apply(Change(1, b"a", b"1"), 0.0)
    replica.apply(Change(2, b"a", None), 0.0)
    (_, event), _ = replica.events(b"", 1, MANY)
    assert (EventKind.DELETE, b"", 2) == (event.kind, event.value, event.revision)
    assert (0, 2) == (replica.revision(b"a"), replica.last_change(b"a"))


def test_a_key_is_overdue_once_its_time_has_passed_unless_it_was_written_again():
    replica = Replica(last=0, messages=0)
    replica.apply(Change(1, b"kept", b"", ttl=5.0), 100.0)
    replica.apply(Change(2, b"gone", b"", ttl=5.0), 100.0)
    replica.apply(Change(3, b"kept", b""), 101.0)
    assert [] == replica.overdue(104.9)
    assert [(b"gone", 2)] == replica.overdue(105.0)
    assert [] == replica.overdue(200.0)
    replica.remind(b"gone", 2, 210.0)
    assert [(b"gone", 2)] == replica.overdue(210.0)
