"""Windows are kept for as long as somebody reads them, and forgotten after that."""

from __future__ import annotations

import asyncio

from formal_cluster.counters.fold import Record, State
from formal_cluster.counters.ledger import Ledger
from formal_cluster.counters.outbox import Outbox
from formal_cluster.counters.records import Batch
from formal_cluster.counters.retention import ASKED_EVERY_MS, GRACE_MS, Retention
from formal_cluster.model import CounterKey, CounterRead, Window

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
START = 1_700_000_000_000
ALICE = CounterKey("reads", ("alice",))


def lengths(retention: Retention) -> dict[str, tuple[int, ...]]:
    return {counter: each.lengths for counter, each in retention.resolutions.items()}


def test_a_window_is_forgotten_once_nobody_has_asked_for_it_for_its_length_and_longer() -> None:
    retention = Retention()
    retention.ask("reads", DAY, START)

    retention.pass_time(START + DAY + GRACE_MS - 1)
    assert {"reads": (MINUTE, DAY)} == lengths(retention)
    retention.pass_time(START + DAY + GRACE_MS + MINUTE)
    assert {} == lengths(retention)


def test_other_windows_of_the_counter_and_other_counters_stay() -> None:
    retention = Retention()
    for counter, length in (("reads", HOUR), ("reads", DAY), ("writes", HOUR)):
        retention.ask(counter, length, START)
    retention.ask("writes", HOUR, START + HOUR)

    retention.pass_time(START + HOUR + GRACE_MS)

    assert {"reads": (MINUTE, DAY), "writes": (MINUTE, HOUR)} == lengths(retention)


def test_a_window_that_is_asked_for_as_often_as_instances_do_stays() -> None:
    retention = Retention()
    for asked in range(START, START + DAY, ASKED_EVERY_MS):
        retention.ask("reads", 1_000, asked)
        retention.pass_time(asked + ASKED_EVERY_MS)
        assert {"reads": (1_000, MINUTE)} == lengths(retention)


def test_what_is_restored_is_forgotten_at_the_same_time() -> None:
    retention, restored = Retention(), Retention()
    retention.ask("reads", HOUR, START)
    retention.ask("reads", DAY, START + 5)
    restored.restore(retention.asked)

    for now in range(START, START + 2 * DAY, 30 * MINUTE):
        retention.pass_time(now)
        restored.pass_time(now)
        assert lengths(retention) == lengths(restored)
    assert {} == lengths(restored)


def fold(state: State, seq: int, at: int, **content: object) -> None:
    batch = Batch(epoch=1, seq=seq, proposed=at, wall=at, **content)  # type: ignore[arg-type]
    state.apply(Record("x", batch, seq))


def test_the_hits_that_only_a_forgotten_window_reached_are_dropped() -> None:
    state = State(exact_entries=64, max_subjects=10)
    fold(state, 1, START, windows=[("reads", DAY)], keys=[ALICE], hits=[(0, 3, 0)])
    fold(state, 2, START + HOUR, keys=[ALICE], hits=[(0, 2, 0)])
    hits = state.find(ALICE)
    assert hits is not None
    assert hits.count(START - 1) == 5

    late = START + DAY + GRACE_MS
    fold(state, 3, late)
    fold(state, 4, late, keys=[ALICE], hits=[(0, 1, 0)])

    hits = state.find(ALICE)
    assert hits is not None
    assert hits.count(START - 1) == 1


def test_an_instance_asks_once_and_again_while_it_goes_on_reading() -> None:
    now = [START]
    ledger = Ledger(
        writer="a",
        state=State(exact_entries=64, max_subjects=10),
        outbox=Outbox(max_pending=10, exact_entries=64),
        monotonic_ns=lambda: now[0] * 1_000_000,
        wall_ns=lambda: START * 1_000_000,
        on_work=lambda: None,
    )
    read = CounterRead(ALICE, (Window.parse("last_hour"), Window.parse("last_minute")))
    loop = asyncio.new_event_loop()

    def asked() -> list[tuple[str, int]]:
        ledger.peek([read])
        ledger.tidy()
        windows = ledger.take(epoch=1, seq=1, folded=loop.create_future()).windows
        ledger.outbox.under_way = None
        return windows

    ledger.tidy()
    assert [("reads", HOUR)] == asked()
    now[0] += ASKED_EVERY_MS - 1
    assert [] == asked()
    now[0] += 1
    assert [] == asked()
    assert [("reads", HOUR)] == asked()
    loop.close()
