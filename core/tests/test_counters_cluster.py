"""Several instances' counters over one store: `MemoryStore`, the reference for the contract."""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import msgspec
import pytest

from formal_cluster.counters.archive import SILENT_WRITER_MS
from formal_cluster.counters.counters import LogCounters
from formal_cluster.counters.plugin import counters_settings, create_counters
from formal_cluster.counters.settings import LogCountersSettings
from formal_cluster.counters.snapshot import Head
from formal_cluster.errors import CountersUnavailable, InputError
from formal_cluster.hookspecs import CountersContext
from formal_cluster.model import Count, CounterKey, CounterRead, Instance, Window
from formal_cluster.protocols import Counters
from formal_cluster.store_memory import MemoryStateStore, MemoryStore
from formal_cluster.store_memory_keyspace import Keyspace

PREFIX = b"/test/counters/"
LIMIT = 5
MINUTE = 60_000
LOGGER = logging.getLogger(__name__)


def reads(*users: str, window: str = "last_minute") -> list[CounterRead]:
    return [CounterRead(CounterKey("reads", (u, "b")), (Window.parse(window),)) for u in users]


ALICE = reads("alice")


class Clock:
    """Monotonic time of all instances, in the test's hands; it also runs by itself."""

    def __init__(self) -> None:
        self._ahead = 0

    def advance(self, ms: int) -> None:
        self._ahead += ms * 1_000_000

    def __call__(self) -> int:
        return time.monotonic_ns() + self._ahead


class Cluster:
    """Instances by name, each with its own driver on one set of keys."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self.memory = MemoryStore(history=2_000)
        self.clock = Clock()

    async def store(self) -> MemoryStateStore:
        store = MemoryStateStore(self.memory, LOGGER)
        await store.start()
        return store

    async def begin(self, name: str, *, skew_s: int = 0, **settings: float) -> LogCounters:
        """An instance that starts."""
        counters = LogCounters(
            LogCountersSettings.model_validate(settings),
            CountersContext(Instance(name, "127.0.0.1"), await self.store(), PREFIX, LOGGER),
            monotonic_ns=self.clock,
            wall_ns=lambda: time.time_ns() + skew_s * 1_000_000_000,
        )
        await counters.start()
        self._stack.push_async_callback(counters.stop)
        return counters

    async def add(self, name: str, *, skew_s: int = 0, **settings: float) -> LogCounters:
        """An instance that has caught up."""
        counters = await self.begin(name, skew_s=skew_s, **settings)
        await eventually(lambda: counters.status().caught_up)
        return counters

    async def three(self) -> list[LogCounters]:
        return [await self.add(name) for name in ("one", "two", "three")]

    def snapshot_is_newest(self) -> bool:
        """Whether the snapshot has every record of the log."""
        head = self.memory.keyspace.get(PREFIX + b"snapshot/head")
        log = self.memory.keyspace.list(PREFIX + b"log/").entries
        if head is None or head.value is None:
            return False
        return msgspec.msgpack.decode(head.value, type=Head).revision >= max(
            entry.revision for entry in log
        )

    def keys(self, below: bytes) -> list[bytes]:
        return [entry.key for entry in self.memory.keyspace.list(PREFIX + below).entries]


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with AsyncExitStack() as stack:
        yield Cluster(stack)


async def eventually(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(50):
        while not check():
            await asyncio.sleep(0.005)


def value(counters: Counters, what: list[CounterRead] = ALICE) -> int:
    return counters.peek(what)[0][0].value


async def strict(counters: Counters, what: list[CounterRead] = ALICE) -> bool:
    """One access under `> LIMIT`; whether it was permitted."""
    attempt = await counters.attempt_strict(what, deadline_s=50)
    permitted = all(count.value + 1 <= LIMIT for row in attempt.counts for count in row)
    if permitted:
        attempt.commit()
    else:
        attempt.cancel()
    return permitted


async def test_exactly_the_limit_of_many_concurrent_strict_hits_is_permitted(
    cluster: Cluster,
) -> None:
    instances = await cluster.three()

    permitted = await asyncio.gather(*(strict(instances[n % 3]) for n in range(300)))

    assert sum(permitted) == LIMIT
    await eventually(lambda: all(value(counters) == LIMIT for counters in instances))


async def test_the_limit_holds_for_every_subject_of_an_attempt(cluster: Cluster) -> None:
    instances = await cluster.three()
    users = ["alice", "bob", "carol"]
    pairs = list(itertools.combinations(users, 2))
    attempts = [(instances[n % 3], pairs[n // 3 % 3]) for n in range(90)]

    answers = await asyncio.gather(*(strict(one, reads(*pair)) for one, pair in attempts))

    permitted = [pair for (_, pair), answer in zip(attempts, answers, strict=True) if answer]
    hits = [sum(user in pair for pair in permitted) for user in users]
    assert len(permitted) >= LIMIT
    assert max(hits) == LIMIT
    for counters in instances:
        await eventually(
            lambda counters=counters: [value(counters, reads(user)) for user in users] == hits  # type: ignore[misc]
        )


async def test_concurrent_strict_hits_share_one_append(cluster: Cluster) -> None:
    counters = await cluster.add("one")
    before = cluster.memory.keyspace.revision

    await asyncio.gather(*(counters.attempt_strict(ALICE, deadline_s=50) for _ in range(500)))

    assert cluster.memory.keyspace.revision - before <= 2


async def test_eventual_hits_reach_everybody(cluster: Cluster) -> None:
    instances = await cluster.three()

    for counters in instances * 10:
        counters.attempt(ALICE).commit()
    for counters in instances:
        counters.attempt(ALICE).cancel()

    await eventually(lambda: [value(counters) for counters in instances] == [30, 30, 30])
    await eventually(lambda: all(c.status().pending == 0 for c in instances))


async def test_an_instance_counts_its_own_hits_once_on_their_whole_way(cluster: Cluster) -> None:
    counters = await cluster.add("one")
    for number in range(1, 30):
        counters.attempt(ALICE).commit()
        assert value(counters) == number
        if number % 3 == 0:
            await eventually(lambda: counters.status().pending == 0)
            assert value(counters) == number


async def test_open_attempts_see_each_other(cluster: Cluster) -> None:
    counters = await cluster.add("one")

    first, second = counters.attempt(ALICE), counters.attempt(ALICE)
    first.cancel()
    first.commit()
    third = counters.attempt(ALICE)

    assert second.counts == [[Count(1)]]
    assert third.counts == [[Count(1)]]


async def test_eventual_attempts_from_many_threads_are_all_counted(cluster: Cluster) -> None:
    counters, other = await cluster.add("one"), await cluster.add("two")

    def work(user: str) -> None:
        for number in range(500):
            attempt = counters.attempt(reads("alice", user))
            if number % 5:
                attempt.commit()
            else:
                attempt.cancel()

    workers = [threading.Thread(target=work, args=(str(n),)) for n in range(4)]
    for worker in workers:
        worker.start()
    await eventually(lambda: not any(worker.is_alive() for worker in workers))

    await eventually(lambda: value(other) == 4 * 400)
    assert value(other, reads("0")) == 400


async def test_a_strict_count_includes_what_was_permitted_here_and_is_not_sent(
    cluster: Cluster,
) -> None:
    counters = await cluster.add("one")
    counters.attempt(ALICE).commit()
    open_attempt = counters.attempt(ALICE)

    attempt = await counters.attempt_strict(ALICE, deadline_s=50)

    assert attempt.counts == [[Count(2)]]
    open_attempt.cancel()


@pytest.mark.parametrize(
    ("user", "code"), [("x" * 10_000, "subject_too_long"), ("\ud800", "subject_not_text")]
)
async def test_a_subject_that_the_log_cannot_take_is_the_callers_error(
    cluster: Cluster, user: str, code: str
) -> None:
    counters = await cluster.add("one")

    with pytest.raises(InputError) as eventual:
        counters.attempt(reads(user))
    with pytest.raises(InputError) as placed:
        await counters.attempt_strict(reads(user), deadline_s=50)

    assert [code, code] == [eventual.value.code, placed.value.code]
    assert await strict(counters)


async def test_windows_pass_in_log_time(cluster: Cluster) -> None:
    one, two = await cluster.add("one"), await cluster.add("two", skew_s=3_600)
    assert [await strict(one) for _ in range(LIMIT + 1)] == [True] * LIMIT + [False]

    cluster.clock.advance(MINUTE // 2)
    assert not await strict(two)
    cluster.clock.advance(MINUTE // 2)

    assert await strict(two)
    await eventually(lambda: value(one) == 1)


async def test_a_cancelled_strict_attempt_is_taken_back(cluster: Cluster) -> None:
    counters = await cluster.add("one")
    waiting = [
        asyncio.create_task(counters.attempt_strict(ALICE, deadline_s=50)) for _ in range(10)
    ]
    for turn, task in enumerate(waiting):
        for _ in range(turn):
            await asyncio.sleep(0)
        task.cancel()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    for result in results:
        if not isinstance(result, BaseException):
            result.cancel()

    await eventually(lambda: value(counters) == 0)


async def test_one_cancelled_after_its_answer_came_is_taken_back_too(cluster: Cluster) -> None:
    counters = await cluster.add("one")
    waiting = asyncio.create_task(counters.attempt_strict(ALICE, deadline_s=50))
    while value(counters) == 0:
        await asyncio.sleep(0)
    assert not waiting.done()

    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting
    await eventually(lambda: value(counters) == 0)


async def test_a_denied_attempt_counts_where_the_counter_says_so(cluster: Cluster) -> None:
    one, two = await cluster.add("one"), await cluster.add("two")
    both = [*reads("alice"), *(read._replace(count_denied=True) for read in reads("bob"))]

    one.attempt(both).cancel()
    (await one.attempt_strict(both, deadline_s=50)).cancel()

    await eventually(lambda: value(two, reads("bob")) == 2)
    await eventually(lambda: value(two, reads("alice")) == 0)


async def test_before_it_has_caught_up_an_instance_decides_locally_only(cluster: Cluster) -> None:
    store = MemoryStateStore(cluster.memory, LOGGER)
    counters = LogCounters(
        LogCountersSettings(),
        CountersContext(Instance("one", "127.0.0.1"), store, PREFIX, LOGGER),
    )
    await counters.start()
    counters.attempt(ALICE).commit()

    assert value(counters) == 1
    assert counters.status().stale_ms is None
    assert counters.status().log_time_ms is None
    with pytest.raises(CountersUnavailable, match="caught up"):
        await counters.attempt_strict(ALICE, deadline_s=1)

    await store.start()
    other = await cluster.add("two")
    await eventually(lambda: value(other) == 1)
    assert await strict(counters)
    await counters.stop()


async def test_pending_hits_are_sent_before_the_end(cluster: Cluster) -> None:
    one, two = await cluster.add("one"), await cluster.add("two")
    for _ in range(7):
        one.attempt(ALICE).commit()

    await one.stop()
    await one.stop()

    await eventually(lambda: value(two) == 7)


async def test_a_restarted_instance_finds_its_counts_and_begins_a_new_epoch(
    cluster: Cluster,
) -> None:
    one = await cluster.add("one")
    assert await strict(one)
    await one.stop()

    again = await cluster.add("one")

    assert value(again) == 1
    assert [await strict(again) for _ in range(LIMIT)] == [True] * (LIMIT - 1) + [False]


async def test_a_joiner_reads_the_snapshot_when_the_history_is_gone(cluster: Cluster) -> None:
    one = await cluster.add("one", snapshot_interval_s=0.02)
    assert await strict(one, reads("early"))
    await eventually(lambda: len(cluster.keys(b"snapshot/")) == 2)
    await discard_history(cluster, one)
    assert await strict(one, reads("late"))

    joiner = await cluster.add("two")

    assert value(joiner, reads("early")) == 1
    assert value(joiner, reads("late")) == 1


async def test_an_idle_log_needs_no_new_snapshot(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    one = await cluster.add("one", snapshot_interval_s=0.02)
    assert await strict(one)
    await eventually(lambda: cluster.snapshot_is_newest() and len(cluster.keys(b"snapshot/")) == 2)
    head = cluster.memory.keyspace.get(PREFIX + b"snapshot/head")
    for _ in range(3):
        await discard_history(cluster, one)
    assert head == cluster.memory.keyspace.get(PREFIX + b"snapshot/head")

    joiner = await cluster.add("two")

    assert value(joiner) == 1
    assert "discarded counter records" not in caplog.text


async def test_lost_history_is_said_aloud_and_what_is_left_is_counted(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    one = await cluster.add("one", snapshot_interval_s=120)
    assert await strict(one)
    assert await strict(one)
    await discard_history(cluster, one)

    joiner = await cluster.add("two", snapshot_interval_s=0.05)

    assert "discarded counter records" in caplog.text
    assert value(joiner) == 1
    assert value(one) == 2


async def test_a_joiner_waits_for_a_snapshot_of_records_that_the_store_has_discarded(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    one = await cluster.add("one", snapshot_interval_s=120)
    assert await strict(one)
    assert await strict(one)
    await discard_history(cluster, one)
    assert cluster.keys(b"snapshot/") == []

    joiner = await cluster.begin("two", snapshot_interval_s=120)
    await eventually(lambda: joiner._reader._patience_ends is not None)
    assert not joiner.status().caught_up
    assert await snapshot(one)
    await eventually(lambda: joiner.status().caught_up)

    assert value(joiner) == 2
    assert "discarded counter records" not in caplog.text


async def test_of_several_instances_one_makes_the_snapshot_and_old_chunks_go(
    cluster: Cluster,
) -> None:
    instances = [
        await cluster.add(name, snapshot_interval_s=0.02) for name in ("one", "two", "three")
    ]
    heads: set[int] = set()
    async with asyncio.timeout(50):
        for number in itertools.count():
            assert await strict(instances[0], reads(str(number)))
            head = cluster.memory.keyspace.get(PREFIX + b"snapshot/head")
            heads.add(head.revision if head else 0)
            if len(heads) == 4:
                break

    await eventually(lambda: len(cluster.keys(b"snapshot/")) == 2)


async def test_the_rubbish_of_a_crashed_instance_is_deleted_but_not_a_snapshot_in_the_making(
    cluster: Cluster,
) -> None:
    one = await cluster.add("one")
    assert await snapshot(one)
    head = cluster.memory.keyspace.get(PREFIX + b"snapshot/head")
    assert head is not None
    rubbish = PREFIX + b"snapshot/0-abandoned/000000"
    in_the_making = PREFIX + b"snapshot/%d-other/000000" % head.revision
    marks = [PREFIX + b"snapshot-begun/0-abandoned"]
    marks += [PREFIX + b"snapshot-begun/%d-other" % head.revision]
    for key in (rubbish, in_the_making, *marks):
        cluster.memory.keyspace.put(key, b"")

    joiner = await cluster.add("two")
    assert not await snapshot(joiner)
    assert await snapshot(joiner)

    assert rubbish not in cluster.keys(b"snapshot/")
    assert in_the_making in cluster.keys(b"snapshot/")

    for number in range(2):  # the mark of what had chunks goes one snapshot later
        assert await strict(joiner, reads(str(number)))
        assert await snapshot(joiner)
    assert len(cluster.keys(b"snapshot/")) == 2
    assert len(cluster.keys(b"snapshot-begun/")) == 1


async def test_who_finds_a_snapshot_newer_than_its_last_look_makes_none(cluster: Cluster) -> None:
    one, two = await cluster.add("one"), await cluster.add("two")

    assert await snapshot(one)
    assert not await snapshot(one)
    assert await strict(one)
    assert not await snapshot(two)
    assert await snapshot(two)
    assert await strict(one)
    assert not await snapshot(one)


async def test_the_keys_of_instances_long_gone_are_deleted(cluster: Cluster) -> None:
    gone = await cluster.add("gone")
    assert await strict(gone)
    await gone.stop()
    one = await cluster.add("one", snapshot_interval_s=0.02)
    cluster.clock.advance(SILENT_WRITER_MS + 1_000)
    assert await strict(one)

    await eventually(lambda: cluster.keys(b"log/") == [PREFIX + b"log/0/one"])

    back = await cluster.add("gone")
    assert await strict(back)
    await eventually(lambda: value(one) == 2)


async def test_an_instance_whose_key_was_deleted_while_it_was_silent_writes_on(
    cluster: Cluster,
) -> None:
    silent, one = await cluster.add("silent"), await cluster.add("one", snapshot_interval_s=0.02)
    async with asyncio.timeout(50):
        while cluster.keys(b"log/") != [PREFIX + b"log/0/one"]:
            # Again, should it have answered a question meanwhile.
            cluster.clock.advance(SILENT_WRITER_MS + 1_000)
            assert await strict(one)
            await asyncio.sleep(0.05)

    assert await strict(silent)

    assert silent.status().caught_up
    await eventually(lambda: value(one) == 2)


async def test_two_processes_with_one_id_are_told_and_lose_nothing(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    one, twin, other = [await cluster.add(name) for name in ("one", "one", "other")]
    one.attempt(ALICE).commit()
    twin.attempt(ALICE).commit()

    await eventually(lambda: value(other) == 2)
    await eventually(lambda: "following the counter log ended" in caplog.text)
    told = [r for r in caplog.records if "another process runs" in getattr(r, "error", "")]
    assert told


async def test_a_store_restored_from_an_older_copy_is_noticed(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    one = await cluster.add("one")
    assert await strict(one)
    await discard_history(cluster, one)
    cluster.memory.keyspace = Keyspace(history=2_000)
    one.attempt(reads("bob")).commit()

    await eventually(lambda: any("went back" in getattr(r, "error", "") for r in caplog.records))
    await eventually(lambda: one.status().caught_up and not one.status().unsettled)
    assert await strict(one)
    assert value(one, reads("bob")) == 1


async def test_status_tells_what_is_held(cluster: Cluster) -> None:
    counters = await cluster.add("one")
    assert await strict(counters)
    counters.attempt(reads("bob")).commit()
    status = counters.status()

    assert status.caught_up
    assert status.subjects == 1
    assert status.pending == 1
    assert status.stale_ms is not None
    assert status.stale_ms < 5_000
    assert status.log_time_ms is not None
    assert abs(status.log_time_ms - time.time_ns() // 1_000_000) < 5_000
    assert status.revision == cluster.memory.keyspace.revision


async def test_the_plugin_builds_the_driver_from_its_settings(cluster: Cluster) -> None:
    settings = counters_settings()(write_budget=100)  # type: ignore[call-arg]
    context = CountersContext(Instance("one", "127.0.0.1"), await cluster.store(), PREFIX, LOGGER)
    assert isinstance(settings, LogCountersSettings)

    assert isinstance(create_counters(settings, context), Counters)


async def snapshot(counters: LogCounters) -> bool:
    """The instance's turn to make one; whether it did."""
    return await counters._snapshotter.save_if_due()


async def discard_history(cluster: Cluster, reader: LogCounters) -> None:
    """Other keys change until the store's history holds nothing else; `reader` keeps up."""
    keyspace = cluster.memory.keyspace
    for _ in range(5):
        for number in range(500):
            keyspace.put(b"/other", str(number).encode())
        cluster.memory.announce()
        await eventually(lambda: reader.status().revision == keyspace.revision)
