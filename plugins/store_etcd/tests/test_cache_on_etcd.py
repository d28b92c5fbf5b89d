"""The shared cache of several instances on real etcd: kills, partitions, lost stores."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from formal_cluster.cache import BYTES, Cache, SharedCache
from formal_cluster.discovery.alone import Alone
from formal_cluster.errors import CacheUnavailable, OutcomeUnknown, StoreError
from formal_cluster.hookspecs import StoreContext
from formal_cluster.model import Instance as Identity
from formal_cluster.model import StoreState
from formal_cluster.settings import CacheSettings
from formal_cluster_store_etcd import external
from formal_cluster_store_etcd.external import ExternalStore
from formal_cluster_store_etcd.settings import EtcdSettings

pytestmark = [pytest.mark.etcd, pytest.mark.timeout(240)]

LOGGER = logging.getLogger(__name__)


class Instance:
    """One instance's cache, on an etcd that it reaches at given endpoints."""

    def __init__(self, name: str, urls: Sequence[str], settings: dict[str, Any]) -> None:
        me = Identity(name, "127.0.0.1")
        context = StoreContext(me, Alone(me.id), LOGGER)
        self.store = ExternalStore(EtcdSettings(endpoints=tuple(urls)), context)
        # What an instance holds does not get old while a slow machine thinks.
        patient = {"max_stale_ms": 60_000, "deadline_ms": 30_000}
        jobs = CacheSettings.model_validate(patient | settings)
        self.shared = SharedCache({"jobs": jobs}, self.store, b"/test/", LOGGER)
        self.cache: Cache[bytes] = Cache(self.shared.namespace("jobs"), BYTES)

    async def start(self) -> None:
        await self.store.start()
        await self.shared.start()

    async def stop(self) -> None:
        await self.shared.stop()
        await self.store.stop()

    @property
    def stale_ms(self) -> float:
        status = self.shared.status()
        stale = None if status is None else status.stale_ms
        return float("inf") if stale is None else stale

    def sees(self, key: str) -> bytes | str | None:
        """What `peek` shows, or that it shows nothing because that would be too old."""
        try:
            return self.cache.peek(key)
        except CacheUnavailable:
            return "too old"


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow disk may take long: for tests in which no leader is lost."""
    monkeypatch.setattr(external, "ATTEMPT_S", 20.0)


@pytest.fixture
async def join() -> AsyncIterator[Callable[..., Any]]:
    """`await join(*urls, **settings)`: an instance that follows the store already."""
    async with contextlib.AsyncExitStack() as stack:
        count = 0

        async def join(*urls: str, **settings: Any) -> Instance:
            nonlocal count
            count += 1
            instance = Instance(f"instance-{count}", urls, settings)
            await instance.start()
            stack.push_async_callback(instance.stop)
            async with asyncio.timeout(60):
                while instance.stale_ms > 1_500:
                    await asyncio.sleep(0.02)
            return instance

        yield join


def urls(cluster: Any) -> list[str]:
    return [member.client_url for member in cluster.members]


async def test_three_instances_agree_and_entries_vanish_for_all_of_them(
    patience, join, etcd_single, eventually
):
    one, two, three = [await join(etcd_single.client_url) for _ in range(3)]
    await one.cache.put("job", b"alice")
    await two.cache.put("brief", b"", ttl=600)
    assert b"alice" == await three.cache.get("job", fresh=True)
    await eventually(lambda: one.cache.peek("brief") == three.cache.peek("brief") == b"")
    await two.cache.put("brief", b"", ttl=1)
    await eventually(lambda: one.cache.peek("brief") is two.cache.peek("brief") is None)
    assert b"alice" == two.cache.peek("job")


async def test_one_of_many_contenders_in_three_instances_writes_what_is_absent(
    patience, join, etcd_single
):
    instances = [await join(etcd_single.client_url) for _ in range(3)]
    for round_ in range(10):
        values = [b"%d" % number for number in range(9)]
        answers = await asyncio.gather(
            *(
                instances[number % 3].cache.put_if_absent(f"job-{round_}", value)
                for number, value in enumerate(values)
            )
        )
        winner = values[answers.index(None)]
        assert [winner] * 8 == [answer for answer in answers if answer is not None]


async def test_a_full_cache_is_within_its_limits_when_all_have_written(
    patience, join, etcd_single, eventually
):
    instances = [await join(etcd_single.client_url, max_entries=20) for _ in range(3)]
    await instances[0].store.put(b"/test/log/0/one", b"a counter's record")
    await asyncio.gather(
        *(i.cache.put(f"{n}-{m}", b"") for n, i in enumerate(instances) for m in range(60))
    )

    async def stored() -> int:
        return len((await instances[0].store.list(b"/test/cache/")).entries)

    async def within() -> bool:
        return 0 < await stored() <= 20

    await eventually(within)
    await eventually(
        lambda: all(0 < i.shared.status().namespaces["jobs"].entries <= 20 for i in instances)
    )
    assert await instances[0].store.get(b"/test/log/0/one") is not None


async def test_no_acknowledged_entry_is_lost_when_the_leader_is_killed(
    join, etcd_cluster, eventually
):
    one, two = await join(*urls(etcd_cluster)), await join(*reversed(urls(etcd_cluster)))
    acknowledged: list[str] = []

    async def write(least: int) -> None:
        """Until so many are acknowledged, however many are not meanwhile."""
        while len(acknowledged) < least:
            with contextlib.suppress(CacheUnavailable, OutcomeUnknown):
                key = f"job-{next(numbers)}"
                await one.cache.put_if_absent(key, key.removeprefix("job-").encode())
                acknowledged.append(key)

    numbers = itertools.count()
    await write(40)
    etcd_cluster.kill(etcd_cluster.leader())
    await write(100)
    expected = {key: key.removeprefix("job-").encode() for key in acknowledged}
    await eventually(lambda: {key: two.cache.peek(key) for key in acknowledged} == expected)
    await one.cache.put("afterwards", b"")
    assert b"" == await two.cache.get("afterwards", fresh=True)


async def test_a_cut_off_instance_knows_that_it_is_and_heals(join, etcd_cluster, eventually):
    cut = etcd_cluster.members[0]
    alone = await join(cut.client_url, deadline_ms=500, max_stale_ms=3_000)
    other = await join(*urls(etcd_cluster)[1:])
    await other.cache.put("job", b"before")
    await eventually(lambda: alone.sees("job") == b"before")

    cut.pause()
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(CacheUnavailable, OutcomeUnknown, StoreError):
                await other.cache.put("job", b"after")
                break
    await eventually(lambda: alone.stale_ms > 3_000)
    with pytest.raises(CacheUnavailable):
        alone.cache.peek("job")
    with pytest.raises(CacheUnavailable):
        await alone.cache.get("job", fresh=True)
    with pytest.raises((CacheUnavailable, OutcomeUnknown)):
        await alone.cache.put("job", b"mine")

    cut.resume()
    await eventually(lambda: alone.stale_ms < 1_500)
    await eventually(lambda: alone.sees("job") in {b"after", b"mine"})

    async def agree() -> bool:
        return await other.cache.get("job", fresh=True) == alone.sees("job")

    await eventually(agree)


async def test_of_an_etcd_that_lost_everything_nothing_is_remembered(
    patience, join, etcd_single, eventually
):
    one = await join(etcd_single.client_url)
    for number in range(20):
        await one.cache.put("job", b"%d" % number)
    etcd_single.kill()
    etcd_single.wipe()
    etcd_single.restart()
    await asyncio.to_thread(etcd_single.wait_ready)

    await eventually(lambda: one.sees("job") is None)
    await one.cache.put("job", b"anew")
    assert b"anew" == one.cache.peek("job")


async def test_history_compacted_while_the_watch_was_away_is_listed_anew(
    patience, join, etcd_start, eventually
):
    etcd = etcd_start("single")
    one, two = await join(etcd.client_url), await join(etcd.client_url)
    await one.cache.put("gone", b"")
    await eventually(lambda: two.cache.peek("gone") == b"")
    await two.shared.stop()
    await one.cache.delete("gone")
    for number in range(5):
        revision = await one.store.put(b"/elsewhere", b"%d" % number)
    await one.cache.put("job", b"new")
    await asyncio.to_thread(etcd.compact, revision)
    await two.shared.start()
    await eventually(lambda: two.sees("job") == b"new")
    assert two.cache.peek("gone") is None


async def test_what_was_held_for_an_etcd_that_hung_is_handed_over_when_it_goes_on(
    join, etcd_single, eventually
):
    one = await join(
        etcd_single.client_url, on_degraded="local", deadline_ms=300, max_stale_ms=3_000
    )
    two = await join(etcd_single.client_url)
    etcd_single.pause()
    await eventually(lambda: one.store.status().state is not StoreState.SERVING)
    await one.cache.put("job", b"held", ttl=60)
    assert b"held" == await one.cache.get("job")
    assert 1 == one.shared.status().namespaces["jobs"].unshared

    etcd_single.resume()
    await eventually(lambda: two.cache.peek("job") == b"held")
    await eventually(lambda: one.shared.status().namespaces["jobs"].unshared == 0)
    assert b"held" == one.cache.peek("job")
