"""The main job: three instances, one policy, one limit across all of them."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

pytestmark = [pytest.mark.etcd, pytest.mark.slow, pytest.mark.timeout(900)]

LIMIT = 5


async def _blocked_everywhere(site: Any, instances: Any, user: str, **entity: str) -> bool:
    return all([await site.access(i, user, **entity) == "block" for i in instances])


async def test_a_limit_holds_across_all_instances_and_for_one_user_and_bucket_only(
    three: Any,
) -> None:
    a, b, c = three.instances
    for instance in itertools.islice(itertools.cycle([a, b, c]), LIMIT):
        assert "allow" == await three.access(instance, "alice")
    await three.until(
        "alice is blocked on every instance",
        lambda: _blocked_everywhere(three, [a, b, c], "alice"),
    )
    assert "allow" == await three.access(b, "bob")
    assert "allow" == await three.access(c, "alice", bucket="other-bucket")


async def test_a_strict_counter_admits_exactly_its_limit_of_many_concurrent_hits(
    three: Any,
) -> None:
    hits = [
        three.access(instance, "alice", table="ledger")
        for instance in three.instances
        for _ in range(20)
    ]
    actions = await asyncio.gather(*hits)
    assert LIMIT == actions.count("allow")


async def test_the_count_survives_a_sigkill_and_an_empty_disk_catches_up(three: Any) -> None:
    a, b, c = three.instances
    for instance in (a, b, c, a, b):
        assert "allow" == await three.access(instance, "alice")
    await three.until(
        "alice is blocked on the survivors-to-be",
        lambda: _blocked_everywhere(three, [b, c], "alice"),
    )
    a.kill_everything()
    assert await _blocked_everywhere(three, [b, c], "alice")

    async def strict_writes_go_on() -> bool:
        return await three.access(b, "carol", table="ledger") == "allow"

    await three.until("strict writes work again", strict_writes_go_on)
    await three.until_voters(2, seen_by=[b, c])

    a.wipe()
    a.start()
    await three.until_voters(3, seen_by=[a, b, c])
    assert "block" == await three.access(a, "alice")
    assert "allow" == await three.access(a, "dave")


async def test_everyone_restarted_with_kept_disks_still_counts(three: Any) -> None:
    for instance in three.instances:
        for _ in range(2):
            await three.access(instance, "alice")
    await three.until(
        "everybody has everybody's hits",
        lambda: _blocked_everywhere(three, three.instances, "alice"),
    )
    for instance in three.instances:
        assert 0 == instance.terminate()
    assert [[], [], []] == [instance.etcd_pids() for instance in three.instances]
    for instance in three.instances:
        instance.start()
    await three.until_voters(3, seen_by=three.instances)
    assert await _blocked_everywhere(three, three.instances, "alice")


async def test_a_killed_python_leaves_no_etcd_behind(site: Any) -> None:
    (instance,) = site.build(1)
    instance.start()
    await site.until_voters(1, seen_by=[instance])
    assert 1 == len(instance.etcd_pids())
    instance.kill_python()

    async def gone() -> bool:
        return not instance.etcd_pids()

    await site.until("etcd is gone", gone)


async def test_an_unusable_data_directory_makes_an_instance_serve_alone_and_say_so(
    site: Any,
) -> None:
    (instance,) = site.build(1)
    instance.data_dir.write_text("a file where the directory should be")
    instance.start()

    async def serves_and_says_why_alone() -> bool:
        body = await site.get(instance, "/ready")
        return bool(body["ready"]) and str(instance.data_dir) in body["reason"]

    await site.until("the instance serves", serves_and_says_why_alone)
    assert "standalone" == (await site.get(instance, "/ready"))["state"]
    assert "standalone" == (await site.get(instance, "/v1/cluster"))["state"]
    assert str(instance.data_dir) in instance.log.read_text()
    for _ in range(LIMIT):
        assert "allow" == await site.access(instance, "alice")
    assert "block" == await site.access(instance, "alice")
    assert "block" == await site.access(instance, "alice", table="ledger")

    instance.data_dir.unlink()
    await site.until_voters(1, seen_by=[instance])
    assert "block" == await site.access(instance, "alice")
    assert "allow" == await site.access(instance, "alice", table="ledger")
