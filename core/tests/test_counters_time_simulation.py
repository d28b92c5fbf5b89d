"""Random lives of three instances, one of which has a bad wall clock: it changes no decision.

A seed makes a schedule of hits, pauses, kills, starts, slow instances and outages. Replay one with
`Simulation(seed, …).run()`; every failure names it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from formal_cluster.counters.asking import awaited
from formal_cluster.counters.attempts import StrictHit
from formal_cluster.counters.fold import Record, State
from formal_cluster.counters.ledger import Ledger
from formal_cluster.counters.outbox import Outbox
from formal_cluster.counters.records import Batch, decode, encode
from formal_cluster.counters.timekeeping import Timekeeping
from formal_cluster.model import CounterKey, CounterRead, Window

T0 = 1_700_000_000_000
HOUR = 3_600_000
LIMIT = 5
PRESENCE_MS = 15_000
USUAL_DELAY, LONGEST_DELAY = 20, 9_000
READS = [CounterRead(CounterKey("reads", (user,)), (Window.parse("last_minute"),)) for user in "ab"]
STEPS = (10_000, -10_000, 3 * HOUR, -3 * HOUR)


@pytest.fixture(scope="module")
def future() -> Iterator[Callable[[], asyncio.Future[int]]]:
    with asyncio.Runner() as runner:
        yield runner.get_loop().create_future


class Outcome(NamedTuple):
    """A decision: when and by whom it was made, at which log time, and what it saw."""

    at: int
    writer: str
    log_time: int
    seen: int


class Process:
    """One life of an instance: a ledger on clocks that are simulated."""

    def __init__(self, simulation: Simulation, name: str, slot: int) -> None:
        self.simulation, self.name, self.slot = simulation, name, slot
        self.delay, self.position, self.epoch, self.seq = 0, 0, simulation.epoch_of(name), 0
        self.next_ask, self.wait = 0, 2_000
        boot = simulation.now - simulation.random.randrange(HOUR)
        self.ledger = Ledger(
            writer=name,
            state=State(exact_entries=8, max_subjects=100),
            outbox=Outbox(max_pending=100, exact_entries=8),
            monotonic_ns=lambda: (simulation.now - boot) * 1_000_000,
            wall_ns=lambda: simulation.wall(slot) * 1_000_000,
            on_work=lambda: None,
        )
        self.timekeeping = Timekeeping(self.ledger, clock_bound_ms=250)
        self.hits: list[StrictHit] = []
        self.read()
        self.open()
        self.delay = USUAL_DELAY

    def open(self) -> None:
        self.epoch, self.seq = self.epoch + 1, 1
        self.next_ask = self.simulation.now + self.wait
        self.simulation.append(self.name, self.ledger.open(self.epoch))

    def hit(self, read: CounterRead) -> None:
        done: asyncio.Future[None] = self.simulation.future()  # type: ignore[assignment]
        self.hits.append(StrictHit([read], 0.0, done))
        self.ledger.place(self.hits[-1])

    def read(self) -> None:
        log, ledger = self.simulation.log, self.ledger
        while (
            self.position < len(log) and log[self.position][0] + self.delay <= self.simulation.now
        ):
            _, writer, value = log[self.position]
            self.position += 1
            batch = decode(value)
            ledger.fold(Record(writer, batch, self.position))
            self._collect(ledger.state.log_time)
            if writer != self.name and self.timekeeping.owes_answer(batch):
                self.timekeeping.answer()

    def act(self) -> None:
        self.read()
        catch_up, outbox = self.ledger.catch_up, self.ledger.outbox
        if catch_up.done:
            if outbox.under_way is None and not outbox.empty:
                self.seq += 1
                load = self.ledger.take(
                    epoch=self.epoch, seq=self.seq, folded=self.simulation.future()
                )
                self.simulation.append(self.name, self.ledger.batch(load))
        elif catch_up.asking and self.simulation.now >= self.next_ask:
            there = self.simulation.present()
            if not awaited(self.name, there, self.timekeeping.asking()):
                self.timekeeping.nobody_answered(there)
            self.wait = min(2 * self.wait, 30_000)
            self.open()

    def _collect(self, log_time: int) -> None:
        waiting = []
        for attempt in self.hits:
            if not attempt.done.done():
                waiting.append(attempt)
                continue
            attempt.done.result()
            count = attempt.counts[0][0].value
            if count < LIMIT:
                attempt.commit()
            else:
                attempt.cancel()
            self.simulation.outcomes.append(
                Outcome(self.simulation.now, self.name, log_time, count)
            )
        self.hits = waiting


class Simulation:
    """Three machines, the log, and the true time since its beginning.

    Args:
        bad: Whether the first machine's wall clock is wrong, and set again and again.
        outages: Whether all may be killed at once. All then come back within a second.
    """

    def __init__(
        self, seed: int, future: Callable[[], asyncio.Future[int]], *, bad: bool, outages: bool
    ) -> None:
        self.random = random.Random(seed)
        self.future, self.bad, self.outages = future, bad, outages
        self.now, self.skew, self.names, self.outages_had = 0, 0, 0, 0
        self.log: list[tuple[int, str, bytes]] = []
        self.outcomes: list[Outcome] = []
        self.running: dict[int, Process] = {}
        self.seen: dict[str, int] = {}
        self.observer = State(exact_entries=8, max_subjects=100)
        self.lags: list[int] = []

    def wall(self, slot: int) -> int:
        return T0 + self.now + (self.skew if slot == 0 and self.bad else 0)

    def present(self) -> set[str]:
        alive = {process.name for process in self.running.values()}
        return alive | {name for name, at in self.seen.items() if at > self.now - PRESENCE_MS}

    def epoch_of(self, name: str) -> int:
        position = self.observer.writers.get(name)
        return 0 if position is None else position.epoch

    def append(self, writer: str, batch: Batch) -> None:
        self.log.append((self.now, writer, encode(batch)))
        self.observer.apply(Record(writer, batch, len(self.log)))
        if not batch.sync:
            self.lags.append(T0 + self.now - self.observer.log_time)

    def run(self) -> None:
        self.start(1)
        for slot in (0, 2):
            self.pass_time(1_000)
            self.start(slot)
        for _ in range(150):
            self.step()
        for process in self.running.values():
            process.delay = USUAL_DELAY
        self.pass_time(60_000)

    def step(self) -> None:
        choose = self.random
        slot, what, pause = choose.randrange(3), choose.random(), choose.random()
        length = choose.choice((10, 100, 1_000, 8_000))
        step, read = choose.choice(STEPS), choose.choice(READS)
        if what < 0.65:
            if slot in self.running and self.running[slot].ledger.catch_up.done:
                self.running[slot].hit(read)
        elif what < 0.75:
            self.skew = step
        elif what < 0.82 and len(self.knowing()) > 1:
            self.kill(slot)
        elif what < 0.95:
            if slot not in self.running:
                self.start(slot)
        elif what < 0.98 and slot in self.running:
            self.running[slot].delay = choose.choice((USUAL_DELAY, 3_000, LONGEST_DELAY))
        elif self.outages:
            self.outage(choose.choice((1_000, 60_000, 10 * HOUR)))
        if pause < 0.01:
            self.now += HOUR  # everybody sleeps, clocks go on
        self.pass_time(choose.randrange(length))

    def knowing(self) -> list[Process]:
        return [p for p in self.running.values() if p.ledger.catch_up.done]

    def start(self, slot: int) -> None:
        name = f"{slot}"
        # With outages the bad one keeps its name: under many it would outnumber the others.
        if self.random.random() < 0.5 and not (self.outages and slot == 0):
            self.names += 1
            name = f"{slot}-{self.names}"
        if name not in {process.name for process in self.running.values()}:
            self.running[slot] = Process(self, name, slot)

    def kill(self, slot: int) -> None:
        # Somebody else who knows the time must be left, or it is an outage.
        if slot in self.running and any(p.slot != slot for p in self.knowing()):
            self.seen[self.running.pop(slot).name] = self.now

    def outage(self, length: int) -> None:
        self.outages_had += 1
        for process in self.running.values():
            self.seen[process.name] = self.now
        self.running.clear()
        self.now += length
        self.skew = self.random.choice(STEPS)
        for slot in self.random.sample(range(3), 3):
            self.start(slot)
            self.pass_time(300)
        self.pass_time(120_000)

    def pass_time(self, length: int) -> None:
        end = self.now + length
        while self.now < end:
            self.now = min(end, self.now + 10 if self.busy() else self.now + 500)
            for slot in sorted(self.running):
                self.running[slot].act()

    def busy(self) -> bool:
        return any(p.position < len(self.log) or p.hits for p in self.running.values())


@pytest.mark.parametrize("seed", range(15))
def test_a_bad_wall_clock_changes_no_decision_at_all(
    future: Callable[[], asyncio.Future[int]], seed: int
) -> None:
    bad = Simulation(seed, future, bad=True, outages=False)
    good = Simulation(seed, future, bad=False, outages=False)

    bad.run()
    good.run()

    assert good.outcomes == bad.outcomes
    assert {outcome.seen for outcome in good.outcomes} >= {0, 1, LIMIT}
    assert min(bad.lags) >= 0, f"log time ran ahead in seed {seed}"
    assert max(bad.lags) <= LONGEST_DELAY + 2 * USUAL_DELAY


@pytest.mark.parametrize("seed", range(15))
def test_after_outages_a_bad_wall_clock_never_makes_time_run_ahead(
    future: Callable[[], asyncio.Future[int]], seed: int
) -> None:
    """Each outage may cost the time from the first question to the end of the wait."""
    simulation = Simulation(seed, future, bad=True, outages=True)

    simulation.run()

    assert min(simulation.lags) >= 0, f"log time ran ahead in seed {seed}"
    lost = simulation.outages_had * (PRESENCE_MS + 17_000)
    assert max(simulation.lags) <= lost + LONGEST_DELAY + 2 * USUAL_DELAY
