"""The honest rival is no straw man: it shares its counts, slides its windows and loses no hits."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import time
from collections.abc import Callable

import pytest
import redis
from benchmarks.contestant import Place
from benchmarks.peers.local_with_sync import LocalWithSync, local_with_sync
from benchmarks.stores import Redis

pytestmark = pytest.mark.redis
LIMIT = 5


@pytest.fixture
def store(tmp_path):
    running = Redis(tmp_path)
    running.start()
    yield running
    running.stop()


async def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 50
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_what_one_instance_admits_the_others_count(store):
    async with (
        local_with_sync(Place(store.port, 0, "shared")) as one,
        local_with_sync(Place(store.port, 0, "shared", 1)) as other,
    ):
        assert [True] * LIMIT == [one.now("user", LIMIT) for _ in range(LIMIT)]
        assert not one.now("user", LIMIT)
        await _until(lambda: other.count("user") == LIMIT)
        assert not other.now("user", LIMIT)


# redis-py leaves the transport of a broken connection to the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_hits_that_redis_did_not_take_are_sent_when_it_is_back(store, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 1_000_000.0)  # all in one window
    async with local_with_sync(Place(store.port, 0, "lost")) as one:
        one.now("user", LIMIT)
        await one.settled()
        store.signal(signal.SIGKILL)
        assert [True] * 3 == [one.now("user", LIMIT) for _ in range(3)]
        await asyncio.sleep(0.1)
        store.start()
        await one.settled()
        with contextlib.closing(redis.Redis(port=store.port)) as client:
            [key] = client.keys("lost:user:*")
            assert b"3" == client.get(key)
    gc.collect()


def test_the_window_before_counts_for_the_part_that_is_still_covered(monkeypatch):
    now = 1_000.0
    monkeypatch.setattr(time, "time", lambda: now)
    local = LocalWithSync(redis.asyncio.Redis(), space="slide", window_s=10)
    assert [True] * LIMIT == [local.admit("user", LIMIT) for _ in range(LIMIT)]
    now = 1_010.0
    assert not local.admit("user", LIMIT)
    now = 1_014.0  # six tenths of the five still count: three
    assert [True, True, False] == [local.admit("user", LIMIT) for _ in range(3)]
    now = 1_040.0
    assert 0 == local.count("user")
