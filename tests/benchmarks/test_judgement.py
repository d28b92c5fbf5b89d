"""The judge of the benchmarks' attacks: certain of what it calls wrong, and blind to nothing."""

from __future__ import annotations

from benchmarks.judgement import Decided, most_in_a_window, wrong_denials
from hypothesis import given
from hypothesis import strategies as st

WINDOW_S = 2.0


def _at(*moments: float, admitted: bool = True) -> list[Decided]:
    return [Decided(at, at, admitted) for at in moments]


def test_accesses_within_one_window_are_counted_together():
    assert 3 == most_in_a_window(_at(0.0, 1.0, 1.9, 2.1, 4.5), WINDOW_S)


def test_accesses_that_may_have_been_a_window_apart_are_not():
    slow = Decided(asked=1.9, answered=2.1, admitted=True)
    assert 2 == most_in_a_window([*_at(0.0, 0.1), slow], WINDOW_S)


def test_a_denial_is_wrong_when_too_few_were_admitted_before():
    assert 1 == wrong_denials(_at(0.0, 1.0) + _at(1.5, admitted=False), WINDOW_S, 3)
    assert 0 == wrong_denials(_at(0.0, 1.0) + _at(1.5, admitted=False), WINDOW_S, 2)


def test_what_has_left_the_window_excuses_no_denial():
    assert 1 == wrong_denials(_at(0.0, 1.0) + _at(2.5, admitted=False), WINDOW_S, 2)


def test_what_may_still_be_under_way_excuses_a_denial():
    under_way = Decided(asked=1.4, answered=1.6, admitted=True)
    denied = Decided(asked=1.5, answered=1.5, admitted=False)
    assert 0 == wrong_denials([*_at(1.0), under_way, denied], WINDOW_S, 2)


@given(st.lists(st.integers(0, 10_000).map(lambda ms: ms / 1_000), max_size=60), st.integers(1, 5))
def test_an_exact_limiter_is_never_found_guilty(moments: list[float], limit: int):
    history: list[Decided] = []
    for now in sorted(moments):
        counted = sum(d.admitted and d.asked > now - WINDOW_S for d in history)
        history.append(Decided(now, now, counted < limit))
    assert limit >= most_in_a_window(history, WINDOW_S)
    assert 0 == wrong_denials(history, WINDOW_S, limit)
