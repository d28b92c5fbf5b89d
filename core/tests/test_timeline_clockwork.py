"""Counters on a timeline count what every instance can know, in the windows that are real."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from formal_cluster.model import ClusterState, CounterKey, CounterRead, Window
from formal_cluster.protocols import Counters
from formal_cluster.timeline.clockwork import Clockwork

KEY = CounterKey("bucket.access_count", ("alice", "b"))
WINDOW = Window.parse("last_10_seconds")
READ = CounterRead(KEY, (WINDOW,))


def world(*instances: str) -> Clockwork:
    return Clockwork(instances, {KEY.counter: [WINDOW.length_ms]})


def test_they_are_counters_as_the_protocol_describes_them():
    assert isinstance(world("A").instances["A"], Counters)


def test_a_hit_leaves_the_window_when_it_is_as_old_as_the_window_is_long():
    clockwork = world("A")
    counters = clockwork.instances["A"]
    assert 0 == counters.hit(READ)[0].value
    clockwork.now = 9_999
    assert 1 == counters.peek([READ])[0][0].value
    clockwork.now = 10_000
    assert 0 == counters.peek([READ])[0][0].value


def test_what_cannot_be_exact_says_so_and_is_never_too_little():
    clockwork = world("A")
    counters = clockwork.instances["A"]
    for at in range(0, 5_000, 25):
        clockwork.now = at
        counters.hit(READ)
    clockwork.now = 10_040  # in the middle of hits that are kept as one span
    [[count]] = counters.peek([READ])
    assert not count.exact
    assert count.lower <= 198 <= count.value


def test_one_that_is_cut_off_says_since_when_and_that_others_may_have_counted():
    clockwork = world("A", "B", "C")
    counters = clockwork.instances["B"]
    clockwork.now = 1_000
    counters.cut_off()
    clockwork.now = 4_000
    counters.cut_off()
    info = counters.info
    assert (ClusterState.DEGRADED, 3_000, 2, False, 2) == (
        info.state,
        info.stale_ms,
        info.peers,
        info.reachable,
        info.unseen,
    )
    assert not counters.status().caught_up
    counters.connect()
    assert (ClusterState.CLUSTERED, 0, 0) == (
        counters.info.state,
        counters.info.stale_ms,
        counters.info.unseen,
    )


STEPS = st.lists(
    st.tuples(
        st.integers(0, 4_000), st.sampled_from("ABC"), st.booleans(), st.sampled_from([0, 1, 2])
    ),
    max_size=40,
)


@given(STEPS)
def test_an_instance_counts_all_that_was_shared_and_its_own(steps):
    clockwork = world("A", "B", "C")
    told: list[int] = []  # the times of what everybody can know
    knows: dict[str, list[int]] = {"A": [], "B": [], "C": []}
    away = {"A": False, "B": False, "C": False}
    own: dict[str, list[int]] = {"A": [], "B": [], "C": []}
    for later, name, is_cut_off, hits in steps:
        clockwork.now += later
        counters = clockwork.instances[name]
        was_cut_off = away[name]
        away[name] = is_cut_off
        (counters.cut_off if is_cut_off else counters.connect)()
        if not (is_cut_off and was_cut_off):
            told += own[name]
            own[name] = []
            knows[name] = list(told)
        for _ in range(hits):
            known = knows[name] + own[name]
            expected = sum(clockwork.now - at < WINDOW.length_ms for at in known)
            [[count]] = counters.peek([READ])
            attempt = counters.attempt([READ])
            assert (expected, True, expected) == (count.value, count.exact, attempt.counts[0][0][0])
            attempt.commit()
            attempt.commit()
            if is_cut_off:
                own[name].append(clockwork.now)
            else:
                told.append(clockwork.now)
                knows[name].append(clockwork.now)
        assert len(own[name]) == counters.status().pending


def test_denied_accesses_count_only_where_they_are_to():
    counters = world("A").instances["A"]
    counters.attempt([READ]).cancel()
    assert 0 == counters.peek([READ])[0][0].value
    counters.attempt([READ._replace(count_denied=True)]).cancel()
    assert 1 == counters.peek([READ])[0][0].value
