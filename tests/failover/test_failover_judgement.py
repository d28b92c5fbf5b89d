"""The judge of the failover scenarios finds what is wrong, and nothing else."""

from __future__ import annotations

import pytest

from formal_cluster.model import Grade
from formal_cluster_failover import judgement
from formal_cluster_failover.history import (
    ARCHIVE,
    LIMIT,
    WINDOW_S,
    History,
    Hit,
    Outcome,
    Sighting,
)
from formal_cluster_failover.judgement import Counted, Effect


def hit(at, outcome=Outcome.ADMITTED, *, took=0.1, instance="a", subject="alice", **more):
    grade = more.pop("grade", Grade.STRICT)
    right = more.pop("right", True)
    return Hit(at, at + took, instance, grade, subject, outcome, right)


def sighting(at, *, instance="a", ready=True, state="clustered", cluster_id="c1"):
    return Sighting(at, instance, ready, state, cluster_id)


def eventual(at, *, right=True, outcome=Outcome.ADMITTED, instance="a"):
    return hit(at, outcome, instance=instance, grade=Grade.EVENTUAL, right=right)


def test_as_many_hits_as_the_limit_are_no_overshoot():
    assert [] == judgement.overshoots(History([hit(at) for at in range(LIMIT)], []))


def test_one_hit_more_than_the_limit_is_an_overshoot_whoever_admitted_it():
    hits = [hit(at, instance="abc"[at % 3]) for at in range(LIMIT + 1)]
    (found,) = judgement.overshoots(History(hits, []))
    assert found.startswith(f"alice: {LIMIT + 1} strict hits")


@pytest.mark.parametrize(
    "last",
    [
        hit(WINDOW_S + 0.1),
        hit(1.0, Outcome.DENIED),
        hit(1.0, Outcome.UNKNOWN),
        hit(1.0, subject="bob"),
        hit(1.0, grade=Grade.EVENTUAL),
    ],
)
def test_a_hit_later_than_the_window_or_not_admitted_or_of_another_is_no_overshoot(last):
    hits = [hit(0.0) for _ in range(LIMIT)]
    assert [] == judgement.overshoots(History([*hits, last], []))


def test_a_hit_that_may_have_been_counted_after_the_window_is_no_overshoot():
    hits = [hit(0.0) for _ in range(LIMIT)]
    slow = hit(WINDOW_S - 1, took=2.0)
    assert [] == judgement.overshoots(History([*hits, slow], []))


def test_the_subject_without_a_limit_cannot_overshoot():
    hits = [hit(at, subject=ARCHIVE) for at in range(3 * LIMIT)]
    assert [] == judgement.overshoots(History(hits, []))


@pytest.mark.parametrize(
    ("counted", "lost", "invented"),
    [
        (Counted(acknowledged=3, doubtful=0, seen=3), 0, 0),
        (Counted(acknowledged=3, doubtful=2, seen=5), 0, 0),
        (Counted(acknowledged=3, doubtful=2, seen=2), 1, 0),
        (Counted(acknowledged=3, doubtful=1, seen=5), 0, 1),
    ],
)
def test_acknowledged_hits_must_be_counted_and_doubtful_ones_may_be(counted, lost, invented):
    assert (lost, invented) == (counted.lost, counted.invented)
    assert bool(lost or invented) == bool(judgement.miscounts({"alice": counted}))


def test_a_hit_without_an_answer_is_doubtful_and_a_denied_one_only_if_its_instance_was_hit():
    hits = [
        hit(1.0, Outcome.UNKNOWN),
        hit(1.0, Outcome.REFUSED),
        hit(1.0, Outcome.DENIED),
        hit(1.0, Outcome.DENIED, instance="b"),
        hit(9.0, Outcome.DENIED, instance="b"),
        hit(1.0),
    ]
    assert {"alice": 3} == judgement.doubts(History(hits, []), {"b": [2.0]})


def test_two_clusters_at_once_are_found():
    seen = [sighting(1.0), sighting(1.5, instance="b", cluster_id="c2")]
    (found,) = judgement.second_clusters(History([], seen))
    assert "a in c1, b in c2" in found


@pytest.mark.parametrize(
    "other",
    [
        sighting(1.5, instance="b"),
        sighting(1.5, instance="b", cluster_id="c2", state="degraded"),
        sighting(9.0, instance="b", cluster_id="c2"),
    ],
)
def test_one_cluster_one_given_up_and_one_after_the_other_are_not_two(other):
    assert [] == judgement.second_clusters(History([], [sighting(1.0), other]))


def span(step=0.5, until=8.0):
    return [number * step for number in range(int(until / step))]


def test_to_say_that_all_is_well_while_nothing_is_answered_is_untrue():
    hits = [hit(at, Outcome.REFUSED, subject=ARCHIVE) for at in span()]
    (found,) = judgement.untruths(History(hits, [sighting(at) for at in span()]))
    assert found.startswith("a said ready and clustered")


@pytest.mark.parametrize("said", [{"state": "degraded"}, {"ready": False}])
def test_to_say_that_something_is_wrong_while_all_is_answered_is_untrue(said):
    hits = [hit(at, subject=ARCHIVE) for at in span()]
    (found,) = judgement.untruths(History(hits, [sighting(at, **said) for at in span()]))
    assert "answered all of" in found


def test_to_notice_a_little_late_is_not_untrue():
    hits = [
        hit(at, Outcome.ADMITTED if at < 3 else Outcome.REFUSED, subject=ARCHIVE) for at in span()
    ]
    seen = [sighting(at, state="clustered" if at < 5.5 else "degraded") for at in span()]
    assert [] == judgement.untruths(History(hits, seen))


def test_an_undisturbed_instance_took_no_time():
    hits = [part for at in range(10) for part in (hit(float(at)), eventual(float(at)))]
    effect = judgement.effect(History(hits, []), 0.0, 10.0, ["a"])
    assert Effect(0.0, pytest.approx(0.1), 0, 0) == effect


def test_the_times_go_from_the_fault_to_the_last_wrong_and_the_first_answered():
    hits = [
        eventual(0.9, right=False, outcome=Outcome.REFUSED),
        eventual(2.0),
        eventual(3.0),
        hit(1.0, Outcome.REFUSED, took=2.0),
        hit(2.0, Outcome.UNKNOWN),
        hit(2.5, took=1.5),
        hit(4.2),
    ]
    effect = judgement.effect(History(hits, []), 0.5, 10.0, ["a"])
    assert Effect(pytest.approx(0.5), pytest.approx(3.5), 1, 2) == effect


def test_a_hit_that_had_to_wait_without_being_refused_took_its_time_since_the_fault():
    hits = [*map(eventual, (0.5, 0.6, 0.7)), hit(0.0, took=1.6), hit(1.7)]
    effect = judgement.effect(History(hits, []), 0.5, 10.0, ["a"])
    assert pytest.approx(1.1) == effect.strict_s


def test_the_worst_of_the_watched_counts_and_others_do_not():
    hits = [
        *(
            part
            for name in "abc"
            for at in (1.0, 2.0, 3.0)
            for part in (eventual(at, instance=name),)
        ),
        hit(1.0, Outcome.REFUSED, instance="b"),
        hit(2.0, instance="b"),
        hit(1.0),
        hit(1.0, Outcome.REFUSED, instance="c", took=5.0),
    ]
    effect = judgement.effect(History(hits, []), 0.0, 10.0, ["a", "b"])
    assert (pytest.approx(2.1), 1) == (effect.strict_s, effect.refused_strict)


def test_nothing_is_concluded_from_too_little():
    with pytest.raises(ValueError, match="asked for too little"):
        judgement.effect(History([hit(1.0)], []), 0.0, 10.0, ["a"])


def test_all_is_right_again_when_everything_asked_lately_was():
    good = [part for at in (5.0, 5.2, 5.4) for part in (hit(at), eventual(at))]
    assert judgement.is_right_again(History(good, []), 6.0, ["a"], 2.0)
    assert not judgement.is_right_again(History(good, []), 6.0, ["a", "b"], 2.0)
    assert not judgement.is_right_again(History(good, []), 60.0, ["a"], 2.0)
    wrong = [*good, eventual(5.5, right=False)]
    assert not judgement.is_right_again(History(wrong, []), 6.0, ["a"], 2.0)
    refused = [*good, hit(5.5, Outcome.REFUSED)]
    assert not judgement.is_right_again(History(refused, []), 6.0, ["a"], 2.0)
