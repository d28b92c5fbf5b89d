"""The store is lost under running instances: it comes back older, empty or at other revisions."""

from __future__ import annotations

import asyncio
import copy
import logging
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace

import pytest

from formal_cluster.counters.counters import LogCounters
from formal_cluster.counters.losses import StoreLosses
from formal_cluster.counters.restoration import AWAITED_MS
from formal_cluster.counters.settings import LogCountersSettings
from formal_cluster.errors import CountersUnavailable, StoreError, Unavailable
from formal_cluster.hookspecs import CountersContext
from formal_cluster.model import (
    CounterKey,
    CounterRead,
    Entry,
    Instance,
    Listing,
    StoreStatus,
    WatchUpdate,
    Window,
)
from formal_cluster.store_memory import MemoryStateStore, MemoryStore
from formal_cluster.store_memory_keyspace import Keyspace

PREFIX = b"/test/counters/"
LIMIT = 5
LOGGER = logging.getLogger(__name__)
HISTORY = 100_000
HOUR = (Window.parse("last_hour"),)


def reads(*users: str) -> list[CounterRead]:
    return [CounterRead(CounterKey("reads", (user,)), HOUR) for user in users]


ALICE = reads("alice")


class Bumped(Keyspace):
    """A copy whose revisions go on far above those of the original."""

    def __init__(self, original: Keyspace, *, keep_history: bool) -> None:
        super().__init__(history=HISTORY)
        self.__dict__.update(copy.deepcopy(original.__dict__))
        self._oldest = original.oldest if keep_history else self.revision + 1_000_000
        self.revision += 1_000_000

    @property
    def oldest(self) -> int:
        return self._oldest


class ReplaceableStore(MemoryStateStore):
    """One instance's way to the keys.

    Attributes:
        cluster: What it calls the cluster; None for a driver that does not know.
        away: Whether nothing is answered.
    """

    def __init__(self, memory: MemoryStore, cluster: str | None) -> None:
        super().__init__(memory, LOGGER)
        self.cluster = cluster
        self.away = False

    def status(self) -> StoreStatus:
        return replace(super().status(), cluster_id=self.cluster)

    async def get(self, key: bytes) -> Entry | None:
        self._check()
        return await super().get(key)

    async def list(self, prefix: bytes) -> Listing:
        self._check()
        return await super().list(prefix)

    async def put(
        self, key: bytes, value: bytes, *, if_revision: int | None = None, ttl: float | None = None
    ) -> int:
        self._check()
        began = self.cluster
        await self._enter()
        if self.cluster != began:
            raise Unavailable("the request went to a cluster that is gone")
        revision = self._store.keyspace.put(key, value, if_revision=if_revision)
        self._store.announce()
        return revision

    async def watch(
        self, prefix: bytes, *, from_revision: int | None = None
    ) -> AsyncGenerator[WatchUpdate, None]:
        began = self.cluster
        async with aclosing(super().watch(prefix, from_revision=from_revision)) as updates:
            async for update in updates:
                while self.away:
                    await asyncio.sleep(0.001)
                if self.cluster != began:
                    raise StoreError(f"the watch began on cluster {began}, this is {self.cluster}")
                yield update

    def _check(self) -> None:
        if self.away:
            raise Unavailable("not connected")


class Cluster:
    """Instances by name over one store that can be replaced under them."""

    def __init__(self, stack: AsyncExitStack, *, named: bool) -> None:
        self._stack = stack
        self.named = named
        self.cluster = "c0" if named else None
        self.memory = MemoryStore(history=HISTORY)
        self.ahead_ms = 0
        self._lives: set[int] = {0}
        self.stores: dict[str, ReplaceableStore] = {}
        self.instances: dict[str, LogCounters] = {}

    def monotonic_ns(self) -> int:
        # Slow, so that a slow machine does not run into the time that instances are awaited.
        return time.monotonic_ns() // 10 + self.ahead_ms * 1_000_000

    def wall_ns(self) -> int:
        return 1_700_000_000_000_000_000 + self.monotonic_ns()

    async def add(self, *names: str) -> list[LogCounters]:
        for name in names:
            store = self.stores[name] = ReplaceableStore(self.memory, self.cluster)
            await store.start()
            counters = self.instances[name] = LogCounters(
                LogCountersSettings(),
                CountersContext(Instance(name, "127.0.0.1"), store, PREFIX, LOGGER),
                monotonic_ns=self.monotonic_ns,
                wall_ns=self.wall_ns,
                jitter=random.Random(name).random,
            )
            await counters.start()
            self._stack.push_async_callback(counters.stop)
            await eventually(lambda counters=counters: counters.status().caught_up)  # type: ignore[misc]
        return [self.instances[name] for name in names]

    async def kill(self, name: str) -> None:
        """As SIGKILL: nothing is sent any more, and its memory is gone."""
        self.stores.pop(name).away = True
        task = self.instances.pop(name)._task
        assert task is not None
        task.cancel()
        await asyncio.wait([task])

    def copy(self) -> Keyspace:
        return copy.deepcopy(self.memory.keyspace)

    def lose(self, instead: Keyspace, *without: str) -> None:
        """Replace the store; the instances `without` do not reach it yet."""
        self._lives |= {counters._ledger.life for counters in self.instances.values()}
        self.memory.keyspace = instead
        if self.cluster is not None:
            self.cluster = f"c{int(self.cluster[1:]) + 1}"
        for name, store in self.stores.items():
            store.away = name in without
            store.cluster = self.cluster
        self.memory.announce()

    def return_(self, name: str) -> None:
        self.stores[name].away = False
        self.memory.announce()

    async def noticed(self, *names: str) -> None:
        """Wait until these instances follow the log of the replaced store."""
        for name in names:
            # What makes an instance notice that does not know its cluster is that it writes.
            self.instances[name].attempt(reads("noticing")).commit()
        chosen = [self.instances[name] for name in names]
        await eventually(lambda: all(c._ledger.life not in self._lives for c in chosen))
        await eventually(lambda: all(c.status().caught_up for c in chosen))

    async def restored(self, *names: str) -> None:
        """Wait until these instances may decide strictly, time passing fast."""
        await self.noticed(*names)
        chosen = [self.instances[name]._ledger for name in names]
        await eventually(lambda: all(ledger.held is None for ledger in chosen))
        async with asyncio.timeout(50):
            while not all(StoreLosses(ledger).settled() for ledger in chosen):
                self.ahead_ms += AWAITED_MS // 20
                await asyncio.sleep(0.005)

    def values(self, what: list[CounterRead] = ALICE) -> list[int]:
        return [counters.peek(what)[0][0].value for counters in self.instances.values()]


@pytest.fixture(params=[True, False], ids=["named cluster", "unnamed cluster"])
async def cluster(request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    async with AsyncExitStack() as stack:
        yield Cluster(stack, named=request.param)


async def eventually(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(50):
        while not check():
            await asyncio.sleep(0.005)


async def strict(
    counters: LogCounters, what: list[CounterRead] = ALICE, deadline_s: float = 50
) -> bool:
    """Whether one access under `> LIMIT` was permitted; False also if it could not be decided."""
    try:
        attempt = await counters.attempt_strict(what, deadline_s=deadline_s)
    except CountersUnavailable:
        return False
    if attempt.counts[0][0].value >= LIMIT:
        attempt.cancel()
        return False
    attempt.commit()
    return True


named = pytest.mark.parametrize("cluster", [True], indirect=True, ids=["named cluster"])
"""Where who remembers nothing that was lost has to notice too."""
KINDS = ["older", "empty", "bumped", "bumped and compacted"]


def lost(cluster: Cluster, older: Keyspace, kind: str) -> Keyspace:
    """What the store comes back as."""
    if kind == "older":
        return older
    if kind == "empty":
        return Keyspace(history=HISTORY)
    return Bumped(older, keep_history=kind == "bumped")


@pytest.mark.parametrize("kind", KINDS)
async def test_reserved_hits_outlive_a_loss_and_tokens_do_not(cluster: Cluster, kind: str) -> None:
    one, two, _ = await cluster.add("one", "two", "three")
    known = [ALICE[0]._replace(thresholds=((100,),))]
    older = cluster.copy()
    for _ in range(10):
        (one.spend(known) or await one.attempt_reserved(known, deadline_s=5)).commit()
    await eventually(lambda: min(cluster.values()) >= 10)
    tokens = one._ledger.reserver._purses[known[0].key]._blocks

    cluster.lose(lost(cluster, older, kind))
    await cluster.noticed("one", "two", "three")
    assert not tokens
    await cluster.restored("one", "two", "three")

    assert min(cluster.values()) >= 10
    attempt = await two.attempt_reserved(known, deadline_s=5)
    assert attempt.counts[0][0].value >= 10
    attempt.cancel()


@pytest.mark.parametrize("kind", KINDS)
async def test_no_acknowledged_strict_hit_is_forgotten_and_none_counts_twice(
    cluster: Cluster, kind: str
) -> None:
    one, two, three = await cluster.add("one", "two", "three")
    assert await strict(one)
    older = cluster.copy()
    assert await strict(one)
    assert await strict(two)
    await eventually(lambda: cluster.values() == [3, 3, 3])

    cluster.lose(lost(cluster, older, kind))
    permitted = 3 + await strict(three, deadline_s=0.5)
    await cluster.restored("one", "two", "three")

    assert cluster.values() == [permitted] * 3
    assert sum([await strict(three) for _ in range(4)]) == LIMIT - permitted
    await eventually(lambda: cluster.values() == [5, 5, 5])
    (late,) = await cluster.add("four")
    await eventually(lambda: cluster.values() == [5, 5, 5, 5])
    assert not await strict(late)


@pytest.mark.parametrize("kind", KINDS)
async def test_eventual_hits_made_before_and_during_the_loss_count_once(
    cluster: Cluster, kind: str
) -> None:
    one, two = await cluster.add("one", "two")
    older = cluster.copy()
    for _ in range(20):
        one.attempt(ALICE).commit()
        two.attempt(ALICE).commit()
    await eventually(lambda: cluster.values() == [40, 40])
    await eventually(lambda: all(c.status().pending == 0 for c in (one, two)))
    for store in cluster.stores.values():
        store.away = True
    for _ in range(3):
        one.attempt(ALICE).commit()
        await asyncio.sleep(0.005)

    cluster.lose(lost(cluster, older, kind))
    lowest = 43
    async with asyncio.timeout(50):
        while cluster.values() != [43, 43] or one._ledger.held is not None:
            lowest = min(lowest, one.peek(ALICE)[0][0].value)
            two.attempt(reads("noticing")).commit()
            await asyncio.sleep(0.001)

    assert lowest == 43
    await cluster.restored("one", "two")
    assert cluster.values() == [43, 43]


@named
@pytest.mark.parametrize("kind", KINDS)
async def test_strict_decisions_wait_for_the_one_that_remembers_most(
    cluster: Cluster, kind: str
) -> None:
    one, two = await cluster.add("one", "two")
    older = cluster.copy()
    cluster.stores["two"].away = True
    for _ in range(LIMIT):
        assert await strict(one)

    cluster.lose(lost(cluster, older, kind), "one")
    await cluster.noticed("two")
    assert not await strict(two, deadline_s=0.5)
    cluster.return_("one")
    await cluster.restored("one", "two")

    assert cluster.values() == [LIMIT, LIMIT]
    assert not await strict(two)


@named
@pytest.mark.parametrize("kind", KINDS)
async def test_a_hit_lives_on_with_anybody_who_has_seen_it(cluster: Cluster, kind: str) -> None:
    one, two = await cluster.add("one", "two")
    older = cluster.copy()
    assert [await strict(one) for _ in range(3)] == [True] * 3
    await eventually(lambda: cluster.values() == [3, 3])
    await cluster.kill("one")

    cluster.lose(lost(cluster, older, kind))
    await cluster.restored("two")
    (new,) = await cluster.add("new")

    await eventually(lambda: cluster.values() == [3, 3])
    assert await strict(two)
    assert [await strict(new) for _ in range(2)] == [True, False]


@named
@pytest.mark.parametrize("seed", range(8))
async def test_whatever_happens_nothing_overshoots_and_nothing_is_forgotten(
    cluster: Cluster, seed: int
) -> None:
    """Random hits, losses and partitions; nobody dies, so nothing acknowledged may be lost."""
    draw = random.Random(seed)
    instances = await cluster.add("one", "two", "three")
    copies = [cluster.copy()]
    eventual = reads("eventual")
    permitted = committed = in_flight = 0
    for _ in range(40):
        for counters in draw.choices(instances, k=4):
            counters.attempt(eventual).commit()
            committed += 1
        if draw.random() < 0.5:
            users = ALICE if draw.random() < 0.7 else reads("bob")
            answers = await asyncio.gather(
                *(strict(c, users, deadline_s=0.5) for c in draw.choices(instances, k=3))
            )
            permitted += sum(answers) if users is ALICE else 0
        event = draw.random()
        if event < 0.2:
            copies = [*copies[-3:], cluster.copy()]
        elif event < 0.3:
            without = draw.sample(sorted(cluster.stores), draw.randrange(3))
            instead = copy.deepcopy(draw.choice(copies))
            in_flight += sum(counters.status().pending for counters in instances)
            cluster.lose(lost(cluster, instead, draw.choice(KINDS)), *without)
        elif event < 0.5:
            for name in cluster.stores:
                cluster.return_(name)
        cluster.ahead_ms += draw.choice([0, 10, 1_000])
        await asyncio.sleep(draw.choice([0, 0.001, 0.05]))
    in_flight += sum(counters.status().pending for counters in instances)
    cluster.lose(Keyspace(history=HISTORY))
    await cluster.restored("one", "two", "three")
    await eventually(lambda: all(c.status().pending == 0 for c in instances))

    assert permitted <= LIMIT
    await eventually(lambda: len({tuple(cluster.values(w)) for w in (ALICE, eventual)}) <= 2)
    assert min(cluster.values()) >= permitted
    # A batch that others have folded and its own writer has not is sent again.
    assert all(committed <= value <= committed + in_flight for value in cluster.values(eventual))


async def test_an_instance_that_does_not_come_back_is_awaited_for_seconds_only(
    cluster: Cluster,
) -> None:
    one, two, _ = await cluster.add("one", "two", "three")
    assert await strict(one)
    await eventually(lambda: cluster.values() == [1, 1, 1])
    await cluster.kill("three")

    cluster.lose(Keyspace(history=HISTORY))
    await cluster.noticed("one", "two")
    with pytest.raises(CountersUnavailable, match="put back what they remember"):
        await one.attempt_strict(ALICE, deadline_s=1)
    await eventually(lambda: one._ledger.held is None and two._ledger.held is None)
    assert not await strict(one)
    cluster.ahead_ms += AWAITED_MS

    assert [await strict(two) for _ in range(LIMIT)] == [True] * (LIMIT - 1) + [False]


@named
async def test_one_that_dies_while_it_puts_back_is_not_awaited_for_ever(cluster: Cluster) -> None:
    one, two = await cluster.add("one", "two")
    older = cluster.copy()
    cluster.stores["two"].away = True
    users = [str(number) for number in range(5_000)]
    for user in users:
        one.attempt(reads(user)).commit()
    await eventually(lambda: one.status().pending == 0)

    cluster.lose(older)
    one.attempt(reads("noticing")).commit()
    await eventually(lambda: len(two._ledger.state.subjects) > 1_000)
    await cluster.kill("one")
    cluster.ahead_ms += 2 * AWAITED_MS

    assert await strict(two)
    put_back = sum(two.peek(reads(user))[0][0].value for user in users)
    assert 1_000 <= put_back <= len(users)


@named
async def test_a_holder_that_comes_late_is_counted_and_awaited_from_then_on(
    cluster: Cluster,
) -> None:
    one, two = await cluster.add("one", "two")
    older = cluster.copy()
    cluster.stores["two"].away = True
    for _ in range(3):
        assert await strict(one)

    cluster.lose(older, "one")
    await cluster.restored("two")
    assert await strict(two)
    cluster.return_("one")
    await cluster.restored("one", "two")

    assert cluster.values() == [4, 4]
    assert await strict(two)
    assert not await strict(one)


@named
async def test_a_store_lost_twice_in_a_row_is_put_together_again(cluster: Cluster) -> None:
    one, two = await cluster.add("one", "two")
    oldest = cluster.copy()
    cluster.stores["two"].away = True
    assert await strict(one)
    assert await strict(one)

    cluster.lose(oldest, "one")
    await cluster.restored("two")
    assert await strict(two)
    cluster.lose(Keyspace(history=HISTORY))
    await cluster.restored("one", "two")

    assert cluster.values() == [3, 3]


@named
async def test_a_starter_on_a_restored_copy_decides_nothing_before_the_others_are_there(
    cluster: Cluster,
) -> None:
    (one,) = await cluster.add("one")
    older = cluster.copy()
    for _ in range(LIMIT):
        assert await strict(one)

    cluster.lose(older, "one")
    (starter,) = await cluster.add("starter")
    with pytest.raises(CountersUnavailable, match="put back what they remember"):
        await starter.attempt_strict(ALICE, deadline_s=1)
    cluster.return_("one")
    await cluster.restored("one", "starter")

    assert not await strict(starter)
    await eventually(lambda: cluster.values() == [LIMIT, LIMIT])


async def test_log_time_does_not_go_back(cluster: Cluster) -> None:
    (one,) = await cluster.add("one")
    cluster.ahead_ms += 30_000
    assert await strict(one)
    before = one.status().log_time_ms
    assert before is not None

    cluster.lose(Keyspace(history=HISTORY))
    await cluster.restored("one")
    assert await strict(one)

    assert one._ledger.state.log_time >= before


async def test_hits_expire_at_their_time_although_they_were_put_back(cluster: Cluster) -> None:
    one, two = await cluster.add("one", "two")
    assert await strict(one)
    await eventually(lambda: two._ledger.state.resolution("reads").keep == 3_600_000)
    cluster.ahead_ms += 1_800_000
    assert await strict(two)

    cluster.lose(Keyspace(history=HISTORY))
    await cluster.restored("one", "two")
    assert cluster.values() == [2, 2]
    cluster.ahead_ms += 1_800_000

    await eventually(lambda: cluster.values() == [1, 1])


async def test_an_undisturbed_log_has_no_new_life(cluster: Cluster) -> None:
    one, two = await cluster.add("one", "two")
    lives = {counters._ledger.life for counters in (one, two)}

    for _ in range(3):
        cluster.memory.keyspace.put(b"/other", b"")
        assert await strict(one)
    (three,) = await cluster.add("three")

    assert {three._ledger.life} == lives
    assert len(lives) == 1


async def test_a_store_that_learns_its_name_late_is_followed_on_without_a_word(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    (one,) = await cluster.add("one")
    one.attempt(ALICE).commit()
    await eventually(lambda: one.status().pending == 0)
    name, cluster.cluster = cluster.cluster, None
    (two,) = await cluster.add("two")
    state = two._ledger.state

    cluster.stores["two"].cluster = name
    await eventually(lambda: two._reader._cluster == name)
    two.attempt(ALICE).commit()
    await eventually(lambda: cluster.values() == [2, 2])
    assert state is two._ledger.state
    assert [] == [r.getMessage() for r in caplog.records if "starting over" in r.getMessage()]
