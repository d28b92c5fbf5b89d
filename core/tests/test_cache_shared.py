"""Several instances' caches over one store: `MemoryStore`, the reference for the contract."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from typing import Any

import msgspec
import pytest

from formal_cluster.cache import BYTES, JSON_VALUE, TEXT, Cache, SharedCache, of_type
from formal_cluster.errors import CacheUnavailable, CacheValueError, ConfigError, InputError
from formal_cluster.settings import CacheSettings
from formal_cluster.store_memory import MemoryStateStore, MemoryStore

LOGGER = logging.getLogger(__name__)
PREFIX = b"/test/"
IMPATIENT = {"deadline_ms": 200, "max_stale_ms": 1_500}
"""For what is done while the store is away."""


class Instance:
    """One instance: its way to the store, and its cache."""

    def __init__(self, memory: MemoryStore, settings: dict[str, CacheSettings]) -> None:
        self.memory = memory
        self.store = MemoryStateStore(memory, LOGGER)
        self.shared = SharedCache(settings, self.store, PREFIX, LOGGER)

    def cache(self, codec: Any = BYTES, namespace: str = "jobs") -> Cache[Any]:
        return Cache(self.shared.namespace(namespace), codec)

    @property
    def entries(self) -> int:
        status = self.shared.status()
        assert status is not None
        return status.namespaces["jobs"].entries

    @property
    def held(self) -> list[str]:
        """Keys in the store, by the store itself."""
        below = PREFIX + b"cache/jobs/"
        return [e.key[len(below) :].decode() for e in self.memory.keyspace.list(below).entries]

    async def lose_store(self) -> None:
        await self.store.stop()

    async def find_store(self) -> None:
        await self.store.start()


class Site:
    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self.memory = MemoryStore(history=200)

    async def add(self, **settings: Any) -> Instance:
        """An instance with `[cache.jobs]` as given, and `[cache.other]`. Unless a test is about
        that, a slow machine has the time to answer and what is held does not get old."""
        patient = {"deadline_ms": 30_000, "max_stale_ms": 60_000}
        jobs = CacheSettings.model_validate(patient | settings)
        instance = Instance(self.memory, {"jobs": jobs, "other": CacheSettings()})
        await instance.store.start()
        await instance.shared.start()
        self._stack.push_async_callback(instance.store.stop)
        self._stack.push_async_callback(instance.shared.stop)
        await eventually(lambda: stale_ms(instance) is not None)
        return instance

    def stored(self) -> list[bytes]:
        return [entry.key for entry in self.memory.keyspace.list(PREFIX).entries]


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        yield Site(stack)


async def eventually(check: Callable[[], bool]) -> None:
    """What is too old to be shown is not yet what is awaited."""
    async with asyncio.timeout(40):
        while True:
            with suppress(CacheUnavailable):
                if check():
                    return
            await asyncio.sleep(0.005)


def stale_ms(instance: Instance) -> int | None:
    status = instance.shared.status()
    return None if status is None else status.stale_ms


async def stale(instance: Instance) -> None:
    """Wait until what the instance holds counts as old."""
    await eventually(lambda: (stale_ms(instance) or 0) > 1_500)


async def test_a_caller_reads_what_it_has_written_at_once_and_the_others_soon(site: Site) -> None:
    one, two = await site.add(), await site.add()
    await one.cache().put("job", b"alice")
    assert b"alice" == one.cache().peek("job")
    await eventually(lambda: two.cache().peek("job") == b"alice")
    await two.cache().put("job", b"bob")
    assert b"bob" == await two.cache().get("job")
    await eventually(lambda: one.cache().peek("job") == b"bob")
    assert await one.cache().delete("job") is True
    assert one.cache().peek("job") is None
    assert await two.cache().get("job", fresh=True) is None
    assert await one.cache().delete("job") is False


async def test_a_fresh_read_sees_what_another_instance_has_just_written(site: Site) -> None:
    one, two = await site.add(), await site.add()
    for number in range(50):
        await one.cache().put("job", b"%d" % number)
        assert b"%d" % number == await two.cache().get("job", fresh=True)
        # and what it has seen once it does not unsee
        assert b"%d" % number == two.cache().peek("job")


async def test_of_many_that_put_if_absent_one_succeeds_and_all_others_are_told_its_value(
    site: Site,
) -> None:
    instances = [await site.add() for _ in range(3)]
    caches = [instances[n % 3].cache(TEXT) for n in range(30)]
    answers = await asyncio.gather(
        *(cache.put_if_absent("job", f"writer-{n}") for n, cache in enumerate(caches))
    )
    winner = f"writer-{answers.index(None)}"
    assert {None: 1, winner: 29} == {a: answers.count(a) for a in set(answers)}
    assert [winner] * 3 == [await i.cache(TEXT).get("job", fresh=True) for i in instances]


async def test_namespaces_are_apart_and_below_a_prefix_of_their_own(site: Site) -> None:
    one = await site.add()
    await one.cache(TEXT).put("a/b ü", "jobs'")
    await one.cache(TEXT, "other").put("a/b ü", "other's")
    assert ("jobs'", "other's") == (
        one.cache(TEXT).peek("a/b ü"),
        one.cache(TEXT, "other").peek("a/b ü"),
    )
    assert [b"/test/cache/jobs/a/b \xc3\xbc", b"/test/cache/other/a/b \xc3\xbc"] == site.stored()


async def test_an_entry_vanishes_everywhere_when_its_time_is_over(site: Site) -> None:
    one, two = await site.add(ttl_seconds=30), await site.add()
    await one.cache().put("short", b"", ttl=600)
    await one.cache().put("long", b"")
    await eventually(lambda: two.cache().peek("short") == b"")
    await one.cache().put("short", b"", ttl=0.2)
    await eventually(lambda: two.cache().peek("short") is None)
    await eventually(lambda: one.cache().peek("short") is None)
    assert b"" == two.cache().peek("long")
    assert 1 == sum(key.endswith(b"/long") for key in site.stored())


async def test_the_least_recently_written_entries_give_way_and_nothing_else(site: Site) -> None:
    one, two = await site.add(max_entries=3), await site.add(max_entries=3)
    await one.store.put(b"/test/log/0/one", b"a counter's record")
    await one.cache(namespace="other").put("kept", b"")
    for key in ("a", "b", "c"):
        await one.cache().put(key, b"")
    await one.cache().put("a", b"again")
    for key in ("d", "e"):
        await one.cache().put(key, b"")
    left = [b"again", None, None, b"", b""]
    for each in (one, two):
        await eventually(lambda each=each: left == [each.cache().peek(key) for key in "abcde"])  # type: ignore[misc]
    assert [3, 3] == [one.entries, two.entries]
    assert {b"/test/log/0/one", b"/test/cache/other/kept"} < set(site.stored())


async def test_the_limits_hold_when_instances_have_written_at_the_same_time(site: Site) -> None:
    instances = [await site.add(max_entries=10, max_bytes=2_000) for _ in range(3)]
    await asyncio.gather(
        *(i.cache().put(f"{n}-{m}", bytes(100)) for n, i in enumerate(instances) for m in range(40))
    )
    await eventually(lambda: len(site.stored()) <= 10)
    await eventually(lambda: all(0 < instance.entries <= 10 for instance in instances))
    await instances[0].cache().put("large", bytes(1_900))
    await eventually(lambda: instances[0].entries == 1)
    assert bytes(1_900) == instances[0].cache().peek("large")


async def test_more_writers_than_a_full_cache_admits_wait_for_the_deletions(site: Site) -> None:
    one = await site.add(max_entries=5)
    for batch in range(10):
        await asyncio.gather(*(one.cache().put(f"{batch}-{n}", b"") for n in range(20)))
        assert len(site.stored()) <= 5 + 20
    await eventually(lambda: len(site.stored()) == 5)


async def test_what_is_too_large_or_cannot_be_a_key_is_refused(site: Site) -> None:
    cache = (await site.add(max_value_bytes=10, max_bytes=1_024)).cache()
    with pytest.raises(CacheValueError, match=r"11 bytes and at most 10 .*max_value_bytes"):
        await cache.put("job", bytes(11))
    with pytest.raises(CacheValueError, match="max_bytes"):
        await cache.put("j" * 1_020, bytes(10))
    for key in ("", "j" * 1_025, "\ud800"):
        with pytest.raises(InputError, match="cache key"):
            await cache.put_if_absent(key, b"")
    for ttl in (0, -1, float("inf"), float("nan")):
        with pytest.raises(InputError, match="ttl"):
            await cache.put("job", b"", ttl=ttl)
    assert [] == site.stored()


async def test_a_namespace_that_is_not_declared_is_an_error(site: Site) -> None:
    with pytest.raises(ConfigError, match=r"declare it as \[cache.nope\] \(declared: jobs, other"):
        (await site.add()).cache(namespace="nope")


async def test_history_that_was_discarded_is_made_up_for_by_listing_anew(site: Site) -> None:
    one, two = await site.add(), await site.add()
    await one.cache().put("gone", b"")
    await eventually(lambda: two.cache().peek("gone") == b"")
    await two.lose_store()
    await one.cache().delete("gone")
    for number in range(300):  # more than the store remembers
        await one.cache().put("job", b"%d" % number)
    await two.find_store()
    await eventually(lambda: two.cache().peek("job") == b"299")
    assert two.cache().peek("gone") is None


async def test_without_the_store_an_error_is_an_error_and_heals(site: Site) -> None:
    one = await site.add(on_degraded="error", **IMPATIENT)
    await one.cache().put("job", b"1")
    await one.lose_store()
    assert b"1" == one.cache().peek("job")  # still known to be current
    with pytest.raises(CacheUnavailable, match=r"jobs: .*stopped"):
        await one.cache().put("job", b"2")
    await stale(one)
    with pytest.raises(CacheUnavailable, match="not current"):
        one.cache().peek("job")
    for call in (
        one.cache().get("job"),
        one.cache().get("job", fresh=True),
        one.cache().put_if_absent("other", b""),
        one.cache().delete("job"),
    ):
        with pytest.raises(CacheUnavailable):
            await call
    await one.find_store()
    await eventually(lambda: one.cache().peek("job") == b"1")


async def test_without_the_store_a_miss_is_quiet_but_for_what_promises_something(
    site: Site,
) -> None:
    one = await site.add(on_degraded="miss", **IMPATIENT)
    await one.cache().put("job", b"1")
    await one.lose_store()
    await stale(one)
    await one.cache().put("job", b"2")
    assert one.cache().peek("job") is None
    assert await one.cache().get("job") is None
    for call in (
        one.cache().get("job", fresh=True),
        one.cache().put_if_absent("other", b""),
        one.cache().delete("job"),
    ):
        with pytest.raises(CacheUnavailable):
            await call
    await one.find_store()
    await eventually(lambda: one.cache().peek("job") == b"1")


async def test_without_the_store_local_goes_on_alone_and_hands_over_what_others_lack(
    site: Site,
) -> None:
    one = await site.add(on_degraded="local", max_entries=4, **IMPATIENT)
    two = await site.add()
    await one.cache().put("old", b"1")
    await one.lose_store()
    await stale(one)
    await one.cache().put("mine", b"mine")
    await one.cache().put("brief", b"", ttl=0.01)
    assert await one.cache().put_if_absent("contested", b"mine") is None
    assert b"mine" == await one.cache().put_if_absent("contested", b"second")
    assert b"1" == await one.cache().put_if_absent("old", b"2")
    assert [b"1", b"mine"] == [one.cache().peek("old"), await one.cache().get("mine")]
    with pytest.raises(CacheUnavailable):
        await one.cache().get("old", fresh=True)
    await two.cache().put("contested", b"theirs")
    await one.cache().put("fourth", b"")
    with pytest.raises(CacheUnavailable, match="max_entries"):
        await one.cache().put("fifth", b"")
    await eventually(lambda: one.cache().peek("brief") is None)

    await one.find_store()
    await eventually(lambda: two.cache().peek("mine") == b"mine")
    await eventually(lambda: one.cache().peek("contested") == b"theirs")
    await eventually(lambda: one.shared.status().namespaces["jobs"].unshared == 0)
    assert await two.cache().get("brief", fresh=True) is None


async def test_an_instance_that_never_reached_a_store_goes_on_alone_if_it_may(site: Site) -> None:
    alone = Instance(site.memory, {"jobs": CacheSettings(on_degraded="local")})
    await alone.shared.start()
    await alone.cache().put("job", b"1")
    assert b"1" == alone.cache().peek("job")
    assert stale_ms(alone) is None
    await alone.shared.stop()


async def test_the_status_tells_what_is_held_and_what_happened(site: Site) -> None:
    one = await site.add(max_entries=2)
    for key in "abc":
        await one.cache().put(key, b"1234")
    await eventually(lambda: "a" not in one.held and one.entries == 2)
    await eventually(lambda: one.shared.status().revision == site.memory.keyspace.revision)  # type: ignore[union-attr]
    one.cache().peek("c")
    one.cache().peek("a")
    status = one.shared.status()
    assert status is not None
    seen = status.namespaces["jobs"]
    assert (2, 10, 0) == (seen.entries, seen.size, seen.unshared)
    assert (1, 1, 3, 1) == (seen.hits, seen.misses, seen.writes, seen.evictions)
    assert site.memory.keyspace.revision == status.revision


class Job(msgspec.Struct, frozen=True):
    user: str
    rows: int = 0


@pytest.mark.parametrize(
    ("codec", "value", "stored", "refused", "undecodable"),
    [
        (BYTES, b"\x00\xff", b"\x00\xff", "text", None),
        (TEXT, "grüß", b"gr\xc3\xbc\xc3\x9f", b"bytes", b"\xff"),
        (JSON_VALUE, {"a": [1, None]}, b'{"a":[1,null]}', {"a": object()}, b"{"),
        (of_type(Job), Job("alice", 3), b'{"user":"alice","rows":3}', object(), b'{"user":1}'),
    ],
    ids=["bytes", "text", "json", "struct"],
)
async def test_a_codec_refuses_what_it_cannot_write_or_read(
    site: Site, codec: Any, value: Any, stored: bytes, refused: Any, undecodable: bytes | None
) -> None:
    one = await site.add()
    await one.cache(codec).put("job", value)
    assert value == one.cache(codec).peek("job")
    assert stored == one.cache().peek("job")
    with pytest.raises(CacheValueError):
        await one.cache(codec).put("job", refused)
    if undecodable is not None:
        await one.cache().put("job", undecodable)
        with pytest.raises(CacheValueError):
            one.cache(codec).peek("job")
