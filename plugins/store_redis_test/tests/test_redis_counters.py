"""Core's counters on a real Redis: several instances, strict and eventual, restarts in between."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack

import pytest

from formal_cluster.counters.counters import LogCounters
from formal_cluster.counters.settings import LogCountersSettings
from formal_cluster.errors import CountersUnavailable
from formal_cluster.hookspecs import CountersContext
from formal_cluster.model import CounterKey, CounterRead, Instance, Window

pytestmark = [pytest.mark.redis, pytest.mark.timeout(240)]

PREFIX = b"/test/counters/"
LIMIT = 5
LOGGER = logging.getLogger("test.redis.counters")


def reads(*users):
    return [
        CounterRead(CounterKey("reads", (user, "b")), (Window.parse("last_hour"),))
        for user in users
    ]


ALICE = reads("alice")


@pytest.fixture
async def add(open_store, eventually):
    """Function that adds an instance with a driver of its own."""
    async with AsyncExitStack() as stack:

        async def add(server, name, **settings):
            store = await open_store(server, key_prefix="counters:")
            counters = LogCounters(
                LogCountersSettings.model_validate(settings),
                CountersContext(Instance(name, "127.0.0.1"), store, PREFIX, LOGGER),
            )
            await counters.start()
            stack.push_async_callback(counters.stop)
            await eventually(lambda: counters.status().caught_up)
            return counters

        yield add


@pytest.fixture
async def three(redis_start, add):
    server = redis_start.always()
    return server, [await add(server, name) for name in ("one", "two", "three")]


def value(counters, what=ALICE):
    return counters.peek(what)[0][0].value


async def strict(counters, what=ALICE):
    """One access under `> LIMIT`; whether it was permitted."""
    attempt = await counters.attempt_strict(what, deadline_s=50)
    permitted = all(count.value + 1 <= LIMIT for row in attempt.counts for count in row)
    (attempt.commit if permitted else attempt.cancel)()
    return permitted


async def strict_again(counters, eventually):
    """Like `strict`, as soon as strict decisions are made again."""

    async def decided():
        try:
            return (await strict(counters),)
        except CountersUnavailable:
            return None

    [permitted] = await eventually(decided)
    return permitted


async def test_exactly_the_limit_of_many_concurrent_strict_hits_is_permitted(three, eventually):
    _, instances = three

    permitted = await asyncio.gather(*(strict(instances[n % 3]) for n in range(150)))

    assert LIMIT == sum(permitted)
    await eventually(lambda: all(value(counters) == LIMIT for counters in instances))


async def test_eventual_hits_reach_everybody(three, eventually):
    _, instances = three

    for counters in instances * 10:
        counters.attempt(ALICE).commit()
    for counters in instances:
        counters.attempt(ALICE).cancel()

    await eventually(lambda: [30, 30, 30] == [value(counters) for counters in instances])


async def test_one_who_joins_finds_the_counts(three, add, eventually):
    server, instances = three
    assert await strict(instances[0])

    joiner = await add(server, "four")

    assert 1 == value(joiner)
    assert [True] * (LIMIT - 1) + [False] == [await strict(joiner) for _ in range(LIMIT)]


async def test_a_restart_that_keeps_everything_costs_no_hit_and_admits_none_too_many(
    three, eventually
):
    server, instances = three
    assert all([await strict(counters) for counters in instances])

    server.kill()
    server.start()

    permitted = [await strict_again(counters, eventually) for counters in instances * 2]
    assert LIMIT - 3 == sum(permitted)
    assert len({counters.status().revision > 0 for counters in instances}) == 1


async def test_redis_that_comes_back_empty_is_told_again_what_the_instances_hold(
    redis_start, add, eventually
):
    server = redis_start.forgetful()
    instances = [await add(server, name) for name in ("one", "two", "three")]
    assert all([await strict(counters) for counters in instances])
    await eventually(lambda: [3, 3, 3] == [value(counters) for counters in instances])

    server.kill()
    server.start()

    permitted = [await strict_again(counters, eventually) for counters in instances * 2]
    assert LIMIT - 3 == sum(permitted)
    await eventually(lambda: [LIMIT] * 3 == [value(counters) for counters in instances])
