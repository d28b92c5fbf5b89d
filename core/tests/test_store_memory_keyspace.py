"""Expiry and history of the keyspace, with a clock of the test's own."""

import math

from hypothesis import given
from hypothesis import strategies as st

from formal_cluster.model import EventKind
from formal_cluster.store_memory_keyspace import Keyspace

keys = st.sampled_from([b"a", b"b", b"c"])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), keys, st.none() | st.integers(1, 5)),
        st.tuples(st.just("delete"), keys, st.none()),
        st.tuples(st.just("wait"), st.none(), st.integers(1, 5)),
    ),
    max_size=40,
)


@given(steps)
def test_a_key_lives_until_its_latest_deadline_and_no_longer(script):
    keyspace = Keyspace(history=1_000)
    now, deadlines = 0, {}

    for action, key, number in script:
        if action == "put":
            deadlines[key] = math.inf if number is None else now + number
            keyspace.put(key, b"", deadline=None if number is None else deadlines[key])
        elif action == "delete":
            deadlines.pop(key, None)
            keyspace.delete(key)
        else:
            now += number
            keyspace.expire(now)
            deadlines = {key: at for key, at in deadlines.items() if at > now}

        assert sorted(deadlines) == [entry.key for entry in keyspace.list(b"").entries]
        assert keyspace.next_deadline <= min(deadlines.values(), default=math.inf)


@given(steps)
def test_replaying_the_history_gives_the_present_keys(script):
    keyspace = Keyspace(history=1_000)
    now = 0
    for action, key, number in script:
        if action == "put":
            keyspace.put(key, bytes([now]), deadline=None if number is None else now + number)
        elif action == "delete":
            keyspace.delete(key)
        else:
            now += number
            keyspace.expire(now)

    replayed = {}
    for revision, event in enumerate(keyspace.changes(b"", 1), start=1):
        assert revision == event.revision
        if event.kind is EventKind.PUT:
            replayed[event.key] = (event.value, event.revision)
        else:
            del replayed[event.key]
    present = {entry.key: (entry.value, entry.revision) for entry in keyspace.list(b"").entries}
    assert present == replayed


def test_keys_that_run_out_together_go_in_the_order_of_their_deadlines():
    keyspace = Keyspace(history=10)
    keyspace.put(b"a", b"", deadline=3)
    keyspace.put(b"b", b"", deadline=1)
    keyspace.put(b"c", b"", deadline=2)

    keyspace.expire(3)

    expected = [b"b", b"c", b"a"]
    assert expected == [event.key for event in keyspace.changes(b"", 4)]


def test_a_key_that_is_written_over_and_over_leaves_no_old_deadlines_to_wake_for():
    keyspace = Keyspace(history=10)
    for n in range(100):
        keyspace.put(b"k", b"", deadline=n)

    keyspace.expire(98)

    expected = 99
    assert expected == keyspace.next_deadline


def test_a_deleted_key_leaves_no_deadline_to_wake_for():
    keyspace = Keyspace(history=10)
    keyspace.put(b"k", b"", deadline=1)
    keyspace.delete(b"k")

    keyspace.expire(2)

    assert math.inf == keyspace.next_deadline
