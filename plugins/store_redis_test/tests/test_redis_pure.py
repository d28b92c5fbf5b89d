"""The decisions: who may serve, what an answer means, how pages become one listing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formal_cluster.errors import Compacted, NotWritable, OutcomeUnknown, Unavailable
from formal_cluster.model import Entry, Event, EventKind, WatchUpdate
from formal_cluster_store_redis_test.errors_map import map_refusal
from formal_cluster_store_redis_test.listing import Page, lexical_range, merge
from formal_cluster_store_redis_test.vetting import Unfit, assess, parse_info
from formal_cluster_store_redis_test.watch_cursor import WatchCursor

INFO = {"redis_version": "7.0.15", "run_id": "r", "role": "master", "connected_slaves": "0"}
ALWAYS = {"appendonly": "yes", "appendfsync": "always"}

# ── vetting ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("info", "config", "keeps"),
    [
        ({}, ALWAYS, True),
        ({}, {"appendonly": "yes", "appendfsync": "everysec"}, False),
        ({}, {"appendonly": "no", "appendfsync": "always"}, False),
        ({}, None, False),
        ({"connected_slaves": "1"}, ALWAYS, False),
    ],
)
def test_only_an_own_log_synced_at_every_write_keeps_what_was_acknowledged(info, config, keeps):
    facts = assess({**INFO, **info}, config)
    assert keeps == facts.keeps_acknowledged
    assert keeps == (facts.warnings == ())


@pytest.mark.parametrize(
    ("info", "advice"),
    [
        ({"redis_version": "6.2.14"}, "use 7.0 or newer"),
        ({"role": "slave"}, "point store.redis-test.url"),
        ({"cluster_enabled": "1"}, "use a single server"),
        ({"maxmemory_policy": "allkeys-lfu"}, "set it to noeviction"),
    ],
)
def test_a_server_on_which_no_store_can_live_is_told_apart_with_the_mend(info, advice):
    with pytest.raises(Unfit, match=advice):
        assess({**INFO, **info}, ALWAYS)


def test_info_is_read_without_headings_and_empty_lines():
    text = "# Server\r\nredis_version:7.0.15\r\n\r\nexecutable:/a:b\r\n"
    expected = {"redis_version": "7.0.15", "executable": "/a:b"}
    assert expected == parse_info(text)


# ── errors ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("code", ["READONLY", "OOM", "MISCONF", "NOAUTH", "NOPERM", "NOREPLICAS"])
def test_what_an_operator_has_to_mend_is_not_writable_and_says_how(code):
    write = map_refusal(f"{code} no.", where="h:1", write=True)
    read = map_refusal(f"{code} no.", where="h:1", write=False)

    assert NotWritable is type(write)
    assert Unavailable is type(read)
    assert len(str(write)) > len(f"Redis at h:1: {code} no.") + 10


@pytest.mark.parametrize("said", ["LOADING wait", "BUSY script", "OTHERSTORE gone"])
def test_what_passes_is_unavailable(said):
    assert Unavailable is type(map_refusal(said, where="h:1", write=True))


def test_any_other_answer_to_a_write_leaves_its_outcome_open():
    said = "WRONGTYPE Operation against a key"
    assert OutcomeUnknown is type(map_refusal(said, where="h:1", write=True))
    assert Unavailable is type(map_refusal(said, where="h:1", write=False))


# ── listing ──────────────────────────────────────────────────────────────────────────────────

NAMES = [bytes([n]) for n in b"abcdefgh"]
WRITES = st.lists(st.tuples(st.sampled_from(NAMES), st.booleans()), max_size=12)


@given(WRITES, st.lists(WRITES, max_size=4), st.integers(1, 3))
def test_pages_read_while_keys_change_are_one_listing_of_the_last_revision(
    before, between, page_size
):
    state: dict[bytes, Entry] = {}
    history: list[Event] = []
    for write in before:
        change(state, history, write)
    pages, pending, start = [], list(between), b""
    while True:
        rest = [entry for key, entry in sorted(state.items()) if key > start]
        pages.append(Page(rest[:page_size], len(history)))
        if len(rest) <= page_size:
            break
        start = rest[page_size - 1].key
        for write in pending.pop(0) if pending else []:
            change(state, history, write)

    merged = merge(b"", pages, history[pages[0].revision :])

    assert tuple(entry for _, entry in sorted(state.items())) == merged


def change(state, history, write):
    key, present = write
    revision = len(history) + 1
    if present or key not in state:
        state[key] = Entry(key, b"%d" % revision, revision)
        history.append(Event(EventKind.PUT, key, b"%d" % revision, revision))
    else:
        del state[key]
        history.append(Event(EventKind.DELETE, key, b"", revision))


@given(st.binary(max_size=4), st.binary(max_size=6))
def test_a_lexical_range_has_exactly_the_keys_with_the_prefix(prefix, key):
    start, end = lexical_range(prefix)
    inside = key >= start[1:] and (end == b"+" or key < end[1:])
    assert key.startswith(prefix) == inside


# ── the watch's position ─────────────────────────────────────────────────────────────────────


def put(revision, key=b"k"):
    return Event(EventKind.PUT, key, b"", revision)


def test_a_watch_from_now_on_begins_behind_the_present_revision():
    cursor = WatchCursor(b"", None)
    assert WatchUpdate((), 7) == cursor.look(7, 3)
    assert WatchUpdate((put(8),), 8) == cursor.accept([put(8)], 8, revision=8, oldest=3)


def test_other_prefixes_move_a_watch_without_events():
    cursor = WatchCursor(b"mine", 8)
    assert WatchUpdate((), 9) == cursor.accept([put(8), put(9)], 9, revision=9, oldest=3)


def test_a_watch_from_a_revision_to_come_is_silent_until_then():
    cursor = WatchCursor(b"", 9)
    assert cursor.look(7, 3) is None
    assert cursor.accept([], None, revision=7, oldest=3) is None
    assert WatchUpdate((), 8) == cursor.accept([], None, revision=8, oldest=3)


def test_the_beginning_of_a_life_moves_a_watch_without_events():
    cursor = WatchCursor(b"", 8)
    assert WatchUpdate((), 20) == cursor.accept([], 20, revision=20, oldest=3)
    assert WatchUpdate((put(21),), 21) == cursor.accept([put(21)], 21, revision=21, oldest=3)


def test_what_was_forgotten_between_reading_and_looking_is_compacted():
    cursor = WatchCursor(b"", 8)
    assert cursor.look(7, 8) is not None
    with pytest.raises(Compacted) as raised:
        cursor.accept([put(10)], 10, revision=10, oldest=10)
    assert raised.value.oldest == 10
