"""Hits of accesses that are permitted anyway, and what other threads see of a large batch."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Sequence

import pytest

from formal_cluster.counters.fold import Record, State
from formal_cluster.counters.ledger import Ledger
from formal_cluster.counters.outbox import SLICE, Outbox
from formal_cluster.errors import CountersUnavailable
from formal_cluster.model import Count, CounterKey, CounterRead, Window

MINUTE = Window.parse("last_minute")


def read(name: str, *windows: Window) -> CounterRead:
    return CounterRead(CounterKey("reads", (name,)), windows or (MINUTE,))


class Instance:
    """A ledger, and a log of its own batches alone."""

    def __init__(self, *, max_pending: int = 100_000) -> None:
        self.milliseconds: int | None = None
        self.ledger = Ledger(
            writer="a",
            state=State(exact_entries=64, max_subjects=100_000),
            outbox=Outbox(max_pending=max_pending, exact_entries=64),
            monotonic_ns=self.monotonic_ns,
            wall_ns=time.time_ns,
            on_work=lambda: None,
        )
        self.ledger.catch_up.clock.loaded(10**12, self.ledger.now())
        self.revisions = itertools.count(1)

    def monotonic_ns(self) -> int:
        return time.monotonic_ns() if self.milliseconds is None else self.milliseconds * 1_000_000

    def flush(self) -> int:
        """Write everything and read it back; the number of batches."""
        batches = 0
        while not self.ledger.outbox.empty:
            revision = next(self.revisions)
            folded = asyncio.get_running_loop().create_future()
            load = self.ledger.take(epoch=1, seq=revision, folded=folded)
            batch = self.ledger.decode(self.ledger.encode(load))
            self.ledger.fold(Record("a", batch, revision))
            assert folded.done()
            batches += 1
        return batches

    def count(self, name: str) -> int:
        return self.ledger.peek([read(name)])[0][0].value


async def test_a_hit_gives_the_counts_before_it_and_stays_counted() -> None:
    instance = Instance()
    ten_seconds = Window.parse("last_10_seconds")

    seen = [instance.ledger.hit(read("x", MINUTE, ten_seconds)) for _ in range(3)]

    assert seen == [[Count(n), Count(n)] for n in range(3)]
    assert instance.count("x") == 3
    instance.flush()
    assert instance.count("x") == 3
    assert instance.ledger.outbox.hits == 0


async def test_hits_are_as_exact_as_attempts() -> None:
    one, other = Instance(), Instance()
    for at in (1, 1, 40_000, 60_000, 60_001, 61_000, 100_001, 125_000):
        one.milliseconds = other.milliseconds = at
        expected = other.ledger.attempt([read("x")])
        assert expected.counts[0] == one.ledger.hit(read("x"))
        expected.commit()
        if at % 2:
            one.flush()
            other.flush()


async def test_hits_of_one_millisecond_are_one_entry_of_a_batch() -> None:
    instance = Instance()
    instance.milliseconds = 5_000
    for _ in range(10_000):
        instance.ledger.hit(read("x"))

    load = instance.ledger.take(epoch=1, seq=1, folded=asyncio.get_running_loop().create_future())

    assert sum(count for _, count, _ in load.hits) == 10_000
    assert len(load.hits) <= 2


async def test_a_hit_of_a_subject_too_many_is_refused() -> None:
    instance = Instance(max_pending=1)
    instance.ledger.hit(read("x"))

    with pytest.raises(CountersUnavailable, match="max_pending"):
        instance.ledger.hit(read("y"))
    assert instance.ledger.hit(read("x")) == [Count(1)]


async def test_other_threads_see_each_hit_once_all_the_time_it_goes_through_the_log() -> None:
    instance = Instance()
    names = [str(number) for number in range(3 * SLICE)]
    stop = threading.Event()
    wrong: list[tuple[str, int, int]] = []
    looks = rounds = 0

    def look() -> None:
        nonlocal looks
        for name in itertools.cycle(names):
            if stop.is_set():
                return
            least, value, most = done[name], instance.count(name), begun[name]
            if not least <= value <= most:
                wrong.append((name, least, value))
            looks += 1

    begun, done = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    thread = threading.Thread(target=look)
    thread.start()
    try:
        while rounds < 5 or looks <= 100:
            for name in names:
                # `look` reads `done` first and `begun` last, so both are on the safe side.
                begun[name] += 1
                instance.ledger.hit(read(name))
                done[name] += 1
            instance.flush()
            rounds += 1
    finally:
        stop.set()
        thread.join()

    assert wrong == []
    assert [rounds] * len(names) == [instance.count(name) for name in names]


async def test_a_thread_that_counts_is_let_in_while_a_large_batch_is_folded() -> None:
    instance = Instance()
    for number in range(16 * SLICE):
        instance.ledger.hit(read(str(number)))
    stop = threading.Event()
    counted: list[Sequence[Count]] = []

    def keep_counting() -> None:
        while not stop.is_set():
            counted.append(instance.ledger.hit(read("x")))

    load = instance.ledger.take(epoch=1, seq=1, folded=asyncio.get_running_loop().create_future())
    batch = instance.ledger.decode(instance.ledger.encode(load))
    thread = threading.Thread(target=keep_counting)
    thread.start()
    try:
        while not counted:
            await asyncio.sleep(0.001)
        before = len(counted)
        instance.ledger.fold(Record("a", batch, 1))
        during = len(counted) - before
    finally:
        stop.set()
        thread.join()

    assert during > 0
