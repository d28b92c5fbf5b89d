"""Whose clock is off, as the records show it, and what is concluded from it."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given

from formal_cluster.counters.fence import Fence
from formal_cluster.counters.records import Batch
from formal_cluster.counters.witnesses import Spread, Witnesses

T0 = 1_700_000_000_000
BOUND = 250


def witnesses(**skews: int) -> Witnesses:
    """What is known after each writer has told the time, with its clock off by so much."""
    made = Witnesses()
    for at, (writer, skew) in enumerate(skews.items(), T0):
        made.told(writer, Batch(epoch=1, seq=1, proposed=at, wall=at + skew), at)
    return made


def look(fence: Fence, spread: Spread, times: int = 3) -> list[bool]:
    return [fence.look(spread) for _ in range(times)]


@given(st.integers(-10_000_000, 10_000_000), st.lists(st.integers(-100, 100), min_size=2))
def test_only_the_clock_that_is_off_is_found_to_be_off(off: int, jitters: list[int]) -> None:
    others = {f"right{number}": jitter for number, jitter in enumerate(jitters)}
    seen = witnesses(bad=off, **others)

    assert abs(abs(seen.spread("bad", off).off) - abs(off)) <= 100 + BOUND
    for name, jitter in others.items():
        assert abs(seen.spread(name, jitter).off) <= 200


def test_of_two_clocks_that_differ_none_is_found_to_be_wrong() -> None:
    spread = witnesses(one=0, other=10_000).spread("one", 0)

    assert spread == Spread(off=0, undecided=10_000, clocks=2)


def test_a_conclusion_takes_three_looks_and_is_told_once() -> None:
    fence = Fence(BOUND)
    off, right = Spread(10_000, 0, 3), Spread(0, 0, 3)

    assert look(fence, off, 4) == [False, False, True, False]
    assert fence.fenced
    assert "10000 ms ahead of the others'" in str(fence.warning)
    assert look(fence, right, 4) == [False, False, True, False]
    assert not fence.fenced
    assert fence.warning is None


def test_one_look_that_differs_concludes_nothing() -> None:
    fence = Fence(BOUND)

    for _ in range(10):
        look(fence, Spread(-300, 0, 3), 2)
        look(fence, Spread(0, 0, 3), 1)

    assert not fence.fenced


def test_two_instances_that_differ_are_warned_and_not_fenced() -> None:
    fence = Fence(BOUND)

    look(fence, Spread(0, 10_000, 2))

    assert not fence.fenced
    assert "too few to tell which are wrong" in str(fence.warning)


def test_a_difference_within_the_bound_is_none() -> None:
    fence = Fence(BOUND)

    look(fence, Spread(BOUND, BOUND, 4))

    assert fence.warning is None


def test_one_record_that_was_long_on_its_way_does_not_count() -> None:
    seen = witnesses(one=0, two=0)
    for at, late in ((T0 + 10, 5_000), (T0 + 20, 0)):
        seen.told("two", Batch(epoch=1, seq=2, proposed=at - late, wall=at), at - late)

    assert seen.offsets == {"one": 0, "two": 0}


def test_one_wrong_clock_among_three_that_ask_is_outvoted() -> None:
    for off in (10_000, -10_000, 10_800_000, -10_800_000):
        seen = witnesses(a=0, b=0, c=0)
        now = T0 + 60_000
        for writer, skew in (("a", off), ("b", 0)):
            seen.asked(writer, Batch(epoch=2, seq=1, proposed=1, wall=now + skew, sync=True))

        alone = Batch(epoch=2, seq=1, proposed=1, wall=now, alone=["a", "b"])

        assert seen.estimate("c", alone) == now


def test_alone_a_clock_that_was_always_wrong_is_as_good_as_any() -> None:
    seen = witnesses(fast=10_000)
    alone = Batch(epoch=2, seq=1, proposed=1, wall=T0 + 60_000 + 10_000, alone=[])

    assert seen.estimate("fast", alone) == T0 + 60_000


def test_who_asked_and_is_gone_is_not_listened_to() -> None:
    seen = witnesses(a=0)
    seen.asked("gone", Batch(epoch=2, seq=1, proposed=1, wall=T0, sync=True))
    alone = Batch(epoch=2, seq=1, proposed=1, wall=T0 + 60_000, alone=[])

    assert seen.estimate("a", alone) == T0 + 60_000


def test_the_last_witness_is_kept_when_silent_writers_are_forgotten() -> None:
    seen = witnesses(a=0, b=5)

    seen.forget("a")
    seen.forget("b")

    assert seen.offsets == {"b": 5}
