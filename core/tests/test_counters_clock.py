"""Log time through several instances, with every clock simulated."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import hypothesis.strategies as st
import pytest
from hypothesis import given

from formal_cluster.counters.clock import CORRECTION_EVERY_MS, TOLERATED_LAG_MS, LogClock
from formal_cluster.counters.fold import Record, State
from formal_cluster.counters.ledger import Ledger
from formal_cluster.counters.outbox import Outbox
from formal_cluster.counters.records import Batch, decode, encode
from formal_cluster.counters.timekeeping import Timekeeping
from formal_cluster.model import CounterKey, CounterRead, Window

HOUR = 3_600_000
T0 = 1_700_000_000_000
READS = [CounterRead(CounterKey("reads", ("a",)), (Window.parse("last_minute"),))]


@pytest.fixture(scope="module")
def future() -> Iterator[Callable[[], asyncio.Future[int]]]:
    with asyncio.Runner() as runner:
        yield runner.get_loop().create_future


class Node:
    """A ledger with clocks of its own: any monotonic start, any wall clock error."""

    def __init__(self, cluster: Cluster, name: str, skew: int) -> None:
        self.cluster, self.name, self.skew, self.rate = cluster, name, skew, 1.0
        self.started, self.folded, self.stood_still = cluster.time, 0, 0
        self.epoch, self.seq = 0, 0
        self.ledger = Ledger(
            writer=name,
            state=State(exact_entries=8, max_subjects=100),
            outbox=Outbox(max_pending=100, exact_entries=8),
            monotonic_ns=lambda: self.monotonic() * 1_000_000,
            wall_ns=lambda: (T0 + cluster.time + self.skew) * 1_000_000,
            on_work=lambda: None,
        )
        self.timekeeping = Timekeeping(self.ledger, clock_bound_ms=250)

    def monotonic(self) -> int:
        running = self.cluster.time - self.started - self.stood_still
        return 1_000 * len(self.name) + int(running * self.rate)

    def now(self) -> int:
        return self.ledger.catch_up.clock.now(self.monotonic())

    def open(self) -> None:
        self.read()
        self.epoch, self.seq = self.epoch + 1, 1
        self.cluster.append(self.name, self.ledger.open(self.epoch))

    def hit(self) -> None:
        self.ledger.attempt(READS).commit()
        self.send()

    def send(self) -> None:
        self.seq += 1
        load = self.ledger.take(epoch=self.epoch, seq=self.seq, folded=self.cluster.future())
        self.cluster.append(self.name, self.ledger.batch(load))
        self.read()

    def give_up(self) -> None:
        """Nobody who knows the time is there."""
        self.timekeeping.nobody_answered(None)
        self.open()

    def read(self) -> None:
        """Fold what is new and do what that calls for."""
        while self.folded < len(self.cluster.log):
            writer, value = self.cluster.log[self.folded]
            self.folded += 1
            record = decode(value)
            self.ledger.fold(Record(writer, record, self.folded))
            if writer != self.name and self.timekeeping.owes_answer(record):
                self.timekeeping.answer()
        if self.ledger.outbox.clock_due:
            self.send()


@dataclass
class Cluster:
    """A log, the true time since its beginning, and who reads and writes it."""

    future: Callable[[], asyncio.Future[int]]
    time: int = 0
    log: list[tuple[str, bytes]] = field(default_factory=list)
    nodes: dict[str, Node] = field(default_factory=dict)

    def append(self, writer: str, record: Batch) -> None:
        self.log.append((writer, encode(record)))

    def start(self, name: str, skew: int = 0) -> Node:
        node = self.nodes[name] = Node(self, name, skew)
        node.open()
        self.settle()
        return node

    def start_alone(self, name: str, skew: int = 0) -> Node:
        """Start it and let the wait for an answer pass."""
        node = self.start(name, skew)
        node.give_up()
        self.settle()
        return node

    def settle(self) -> None:
        """Deliver everything to everybody until nobody has anything to add."""
        for _ in range(10):
            before = len(self.log)
            for node in self.nodes.values():
                node.read()
            if len(self.log) == before:
                return
        raise AssertionError("the instances keep answering each other")


@given(
    st.data(),
    st.lists(st.integers(-10 * HOUR, 10 * HOUR), min_size=2, max_size=5),
    st.integers(0, 2),
)
def test_while_anybody_lives_wall_clocks_change_nothing(
    future: Callable[[], asyncio.Future[int]], data: st.DataObject, skews: list[int], keep: int
) -> None:
    """The first instance lives on; others come, write and go, with any wall clocks."""
    cluster = Cluster(future)
    first = cluster.start("n", skews[0])
    origin = T0 + skews[0]
    for number, skew in enumerate(skews[1:]):
        cluster.time += data.draw(st.integers(0, HOUR))
        joiner = cluster.start("n" * (number + 2), skew)
        assert joiner.ledger.catch_up.done
        assert joiner.now() == origin + cluster.time
        cluster.time += data.draw(st.integers(0, HOUR))
        data.draw(st.sampled_from(list(cluster.nodes.values()))).hit()
        cluster.settle()
        for node in cluster.nodes.values():
            assert node.now() == origin + cluster.time
            assert node.ledger.state.log_time == origin + cluster.time
        if number >= keep:
            del cluster.nodes[joiner.name]
    assert first.ledger.catch_up.done


@given(st.lists(st.integers(0, 400), min_size=1, max_size=20), st.data())
def test_an_estimate_is_late_by_delivery_at_most_and_never_early(
    future: Callable[[], asyncio.Future[int]], pauses: list[int], data: st.DataObject
) -> None:
    cluster = Cluster(future)
    for name in ("n", "nn", "nnn"):
        cluster.start(name)
    read_at = dict.fromkeys(cluster.nodes, 0)
    for pause in pauses:
        cluster.time += pause
        node = data.draw(st.sampled_from(list(cluster.nodes.values())))
        node.hit()
        read_at[node.name] = cluster.time
        for other in cluster.nodes.values():
            late = cluster.time - read_at[other.name]
            assert T0 + cluster.time - late <= other.now() <= T0 + cluster.time


def test_a_starter_is_not_caught_up_before_it_is_answered(
    future: Callable[[], asyncio.Future[int]],
) -> None:
    cluster = Cluster(future)
    first = cluster.start("n")
    cluster.time += HOUR
    starter = cluster.nodes["nn"] = Node(cluster, "nn", skew=5 * HOUR)
    starter.open()
    starter.read()
    assert starter.ledger.catch_up.asking
    assert not starter.ledger.catch_up.done

    first.read()
    starter.read()

    assert starter.ledger.catch_up.done
    assert starter.now() == T0 + HOUR


def test_starting_over_keeps_the_time(future: Callable[[], asyncio.Future[int]]) -> None:
    cluster = Cluster(future)
    node = cluster.start("n", skew=HOUR)
    cluster.time += HOUR
    node.skew = -5 * HOUR

    node.ledger.suspend()
    node.open()
    cluster.settle()

    assert node.ledger.catch_up.done
    assert node.now() == node.ledger.state.log_time == T0 + 2 * HOUR


def test_two_starters_do_not_take_each_others_question_for_an_answer(
    future: Callable[[], asyncio.Future[int]],
) -> None:
    cluster = Cluster(future)
    cluster.start("n")
    del cluster.nodes["n"]
    cluster.time += HOUR

    one, other = cluster.start("nn"), cluster.start("nnn")

    assert one.ledger.catch_up.asking
    assert other.ledger.catch_up.asking


@pytest.mark.parametrize(("skew", "advance"), [(0, HOUR), (7_000, HOUR + 7_000), (-2 * HOUR, 0)])
def test_with_nobody_alive_the_wall_clocks_difference_counts_but_never_backwards(
    future: Callable[[], asyncio.Future[int]], skew: int, advance: int
) -> None:
    cluster = Cluster(future)
    cluster.start("n")
    del cluster.nodes["n"]
    cluster.time += HOUR

    starter = cluster.start_alone("nn", skew)

    assert starter.ledger.catch_up.done
    assert starter.now() == T0 + advance
    assert starter.ledger.state.log_time == T0 + advance


def test_two_starters_with_nobody_alive_agree_on_the_earlier_of_their_times(
    future: Callable[[], asyncio.Future[int]],
) -> None:
    cluster = Cluster(future)
    cluster.start("n")
    del cluster.nodes["n"]
    cluster.time += HOUR
    one, other = cluster.start("nn", skew=3_000), cluster.start("nnn")

    one.give_up()
    other.give_up()
    cluster.settle()

    assert one.now() == other.now() == T0 + HOUR


def test_a_lagging_writer_is_corrected_by_the_next_record(
    future: Callable[[], asyncio.Future[int]],
) -> None:
    cluster = Cluster(future)
    suspended, other = cluster.start("n"), cluster.start("nn")
    cluster.time += HOUR
    suspended.stood_still = HOUR
    assert suspended.now() == T0

    suspended.hit()
    cluster.settle()

    assert suspended.now() == other.now() == T0 + HOUR
    assert suspended.ledger.state.log_time == T0 + HOUR


def test_a_fast_clock_moves_log_time_only_by_its_rate(
    future: Callable[[], asyncio.Future[int]],
) -> None:
    cluster = Cluster(future)
    fast, other = cluster.start("n"), cluster.start("nn", skew=-HOUR)
    fast.rate = 1.0001
    cluster.time += HOUR

    fast.hit()
    cluster.settle()

    assert other.now() == T0 + HOUR + HOUR // 10_000


def test_corrections_are_rare_even_if_the_store_is_slow() -> None:
    clock = LogClock()
    clock.folded(T0, 0, unanswered=False)
    lag = TOLERATED_LAG_MS + 1

    assert clock.corrects(T0, lag)
    clock.answering(lag)

    assert not clock.corrects(T0, lag + CORRECTION_EVERY_MS - 1)
    assert clock.corrects(T0, lag + CORRECTION_EVERY_MS)


def test_idle_instances_write_nothing(future: Callable[[], asyncio.Future[int]]) -> None:
    cluster = Cluster(future)
    for name in ("n", "nn", "nnn"):
        cluster.start(name)
    cluster.nodes["n"].hit()
    cluster.settle()
    before = len(cluster.log)

    cluster.time += HOUR
    cluster.settle()

    assert before == len(cluster.log)
    assert all(node.ledger.outbox.empty for node in cluster.nodes.values())
