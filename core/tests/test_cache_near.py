"""The near cache as a function of what was heard and written, against a model of the store."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from formal_cluster.cache.keys import CacheKeys
from formal_cluster.cache.near import Held, Limits, Near
from formal_cluster.model import Entry, Event, EventKind, Listing, WatchUpdate

KEYS = CacheKeys(b"/p/")
LIMITS = Limits(max_entries=3, max_bytes=32)
TIGHT = Limits(max_entries=2, max_bytes=32)
KEYS_USED = ["a", "b/c", "é"]
NAMES = st.sampled_from(KEYS_USED)
VALUES = st.binary(max_size=12)


def near_with(*events: Event) -> Near:
    near = Near(KEYS, {"n": LIMITS})
    near.load(Listing((), 1), newest=0)
    near.apply(WatchUpdate(events, 1 + len(events)))
    return near


def put(key: str, value: bytes, revision: int, namespace: str = "n") -> Event:
    return Event(EventKind.PUT, KEYS.entry(namespace, key), value, revision)


def test_an_older_event_does_not_replace_a_newer_own_write():
    near = near_with()
    near.wrote("n", "a", Held(b"mine", 5), life=near.life)
    near.apply(WatchUpdate((put("a", b"older", 4),), 4))
    assert b"mine" == near.spaces["n"].get("a")
    near.apply(WatchUpdate((put("a", b"mine", 5), put("a", b"newer", 6)), 6))
    assert b"newer" == near.spaces["n"].get("a")


def test_an_own_write_that_is_acknowledged_late_does_not_replace_what_came_after_it():
    near = near_with(put("a", b"mine", 2), put("a", b"newer", 3))
    near.wrote("n", "a", Held(b"mine", 2), life=near.life)
    assert b"newer" == near.spaces["n"].get("a")


def test_an_own_deletion_is_seen_before_the_watch_tells_it():
    near = near_with(put("a", b"there", 2))
    near.wrote("n", "a", Held(None, 3), life=near.life)
    assert near.spaces["n"].get("a") is None


def test_a_write_to_a_store_that_was_lost_is_not_believed():
    near = near_with(put("a", b"old store's", 2))
    life = near.life
    near.drop()
    near.wrote("n", "a", Held(b"old store's", 9), life=life)
    assert near.spaces["n"].get("a") is None


def test_a_store_that_went_back_in_time_voids_everything_heard_of_it():
    near = near_with(put("a", b"1", 2), put("a", b"2", 3))
    near.wrote("n", "b", Held(b"lost", 9), life=near.life)
    near.load(Listing((Entry(KEYS.entry("n", "a"), b"1", 2),), 2), newest=near.newest)
    assert (b"1", None) == (near.spaces["n"].get("a"), near.spaces["n"].get("b"))
    assert 2 == near.revision


def test_a_store_that_lacks_an_own_write_has_lost_it_though_the_watch_never_told_it():
    near = near_with()
    near.wrote("n", "a", Held(b"lost", 9), life=near.life)
    newest = near.newest
    near.wrote("n", "b", Held(b"written meanwhile", 10), life=near.life)
    near.load(Listing((), 9), newest=newest)
    assert b"written meanwhile" == near.spaces["n"].get("b")
    near.load(Listing((), 3), newest=near.newest)
    assert (None, None) == (near.spaces["n"].get("a"), near.spaces["n"].get("b"))


def test_what_was_held_back_survives_another_store_and_goes_when_it_was_written():
    near = near_with()
    near.keep_unshared("n", "a", b"mine")
    near.drop()
    near.load(Listing((), 4), newest=0)
    assert {"a": b"mine"} == near.spaces["n"].unshared()
    near.wrote("n", "a", Held(b"mine", 5), life=near.life)
    assert ({}, b"mine") == (near.spaces["n"].unshared(), near.spaces["n"].get("a"))


def test_keys_of_other_namespaces_and_other_writers_are_left_alone():
    stranger = Event(EventKind.PUT, KEYS.all + b"n/\xff", b"x", 3)
    near = near_with(put("a", b"1", 2, namespace="other"), stranger)
    assert {} == near.spaces["n"].confirmed


def test_the_last_writer_is_due_until_the_limits_hold_and_then_no_more():
    near = near_with(*(put(key, b"", 2 + n) for n, key in enumerate("abc")))
    space = near.spaces["n"]
    space.judge(5)
    assert [] == near.due()
    near.apply(WatchUpdate((put("d", b"", 5),), 5))
    assert ["n"] == near.due()
    assert [("a", 2)] == space.victims(9)
    assert [] == near_with(put("large", bytes(31), 2)).spaces["n"].victims(9)
    near.apply(WatchUpdate((Event(EventKind.DELETE, KEYS.entry("n", "a"), b"", 6),), 6))
    assert [] == near.due()
    near.apply(WatchUpdate((put("e", b"", 7),), 7))  # another instance's, and its to see to
    assert [] == near.due()


class AgainstAStore(RuleBasedStateMachine):
    """Other instances write; this one writes too, hears late, and is told things twice."""

    def __init__(self) -> None:
        super().__init__()
        self.near = Near(KEYS, {"n": TIGHT})
        self.store: dict[str, Held] = {}
        self.history: list[Event] = []
        self.revision = 1
        self.told = 1  # the watch has delivered up to here
        self.unacknowledged: list[tuple[str, Held, int]] = []
        self.acknowledged: dict[str, int] = {}
        self.near.load(Listing((), 1), newest=0)

    def _change(self, key: str, value: bytes | None) -> Held:
        self.revision += 1
        kind = EventKind.DELETE if value is None else EventKind.PUT
        self.history.append(Event(kind, KEYS.entry("n", key), value or b"", self.revision))
        held = Held(value, self.revision)
        if value is None:
            self.store.pop(key, None)
        else:
            self.store[key] = held
        return held

    @rule(key=NAMES, value=VALUES)
    def another_writes(self, key: str, value: bytes) -> None:
        self._change(key, value)

    @precondition(lambda self: self.store)
    @rule(data=st.data())
    def something_vanishes(self, data: st.DataObject) -> None:
        self._change(data.draw(st.sampled_from(sorted(self.store))), None)

    @rule(key=NAMES, value=VALUES)
    def this_one_writes(self, key: str, value: bytes) -> None:
        self.unacknowledged.append((key, self._change(key, value), self.near.life))

    @precondition(lambda self: self.unacknowledged)
    @rule(data=st.data())
    def a_write_is_acknowledged(self, data: st.DataObject) -> None:
        which = data.draw(st.integers(0, len(self.unacknowledged) - 1))
        key, held, life = self.unacknowledged.pop(which)
        self.near.wrote("n", key, held, life=life)
        if life == self.near.life:
            self.acknowledged[key] = max(self.acknowledged.get(key, 0), held.revision)

    @rule(count=st.integers(1, 5))
    def the_watch_tells(self, count: int) -> None:
        events = self.history[self.told - 1 : self.told - 1 + count]
        self.told = min(self.revision, self.told + count)
        self.near.apply(WatchUpdate(tuple(events), self.told))

    @rule(back=st.integers(1, 4), count=st.integers(1, 3))
    def the_watch_tells_old_news(self, back: int, count: int) -> None:
        start = max(0, self.told - 1 - back)
        events = self.history[start : min(start + count, self.told - 1)]
        self.near.apply(WatchUpdate(tuple(events), start + 1 + len(events)))

    @rule()
    def history_was_discarded_so_it_is_listed(self) -> None:
        entries = tuple(
            Entry(KEYS.entry("n", key), held.value or b"", held.revision)
            for key, held in sorted(self.store.items())
        )
        self.near.load(Listing(entries, self.revision), newest=self.near.newest)
        self.told = self.revision

    @invariant()
    def nothing_goes_back_behind_what_was_heard_or_written(self) -> None:
        space = self.near.spaces["n"]
        for key in KEYS_USED:
            mine = self.acknowledged.get(key, 0)
            known = [
                event
                for event in self.history
                if event.key == KEYS.entry("n", key)
                and (event.revision <= self.near.revision or event.revision == mine)
            ]
            last = known[-1] if known else None
            expected = last.value if last is not None and last.kind is EventKind.PUT else None
            assert expected == space.get(key)

    @invariant()
    def sizes_are_right_and_victims_are_just_enough_and_oldest(self) -> None:
        space = self.near.spaces["n"]
        sizes = {k: len(k.encode()) + len(h.value or b"") for k, h in space.confirmed.items()}
        assert sum(sizes.values()) == space.size
        victims = space.victims(99)
        by_age = sorted(space.confirmed.items(), key=lambda item: item[1].revision)
        assert [(k, h.revision) for k, h in by_age][: len(victims)] == victims
        left, size = len(sizes), space.size
        for victim in victims:
            assert left > TIGHT.max_entries or size > TIGHT.max_bytes - 2
            left, size = left - 1, size - sizes[victim.key]
        assert left <= TIGHT.max_entries
        assert size <= TIGHT.max_bytes - 2 or left == 1
        assert bool(victims) or not space.is_nearly_full

    def teardown(self) -> None:
        """In the end everybody agrees."""
        for key, held, life in self.unacknowledged:
            self.near.wrote("n", key, held, life=life)
        self.near.apply(WatchUpdate(tuple(self.history), self.revision))
        space = self.near.spaces["n"]
        assert self.store == space.confirmed
        assert {} == space.ahead


TestAgainstAStore = AgainstAStore.TestCase
TestAgainstAStore.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)
