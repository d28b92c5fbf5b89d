"""A database that has filled up is made room in, without a person."""

from __future__ import annotations

import contextlib

import pytest

from formal_cluster.errors import NotWritable, OutcomeUnknown, Unavailable
from formal_cluster.model import Role, StoreState
from formal_cluster_store_etcd.client.cluster_api import ClusterApi
from formal_cluster_store_etcd.urls import Endpoint

pytestmark = [pytest.mark.etcd, pytest.mark.slow, pytest.mark.timeout(500)]

QUOTA = 64 << 20
# So much is written here that a leader may be silent for a while; it is to stay the leader.
CALM = {"quota_backend_bytes": QUOTA, "heartbeat_ms": 500, "election_ms": 5_000}


async def fill(instance) -> None:
    """Overwrite one key until nothing can be written any more."""
    for number in range(400):
        with contextlib.suppress(OutcomeUnknown, Unavailable):
            try:
                await instance.store.put(b"key", number.to_bytes(2, "big") * 500_000)
            except NotWritable:
                return
    pytest.fail("it never fills up")


async def writes(instance) -> bool:
    try:
        await instance.store.put(b"another key", b"value")
    except (NotWritable, OutcomeUnknown, Unavailable):
        return False
    return True


async def sizes(instances) -> list[int]:
    api = ClusterApi()
    endpoints = [Endpoint(i.instance.address, i.instance.client_port) for i in instances]
    return [(await api.status(endpoint)).db_size for endpoint in endpoints]


@pytest.mark.parametrize("size", [1, 3])
async def test_a_full_database_can_be_written_to_again(fleet, start_all, eventually, size):
    everyone = fleet(size, **CALM)
    await start_all(everyone)
    await eventually(lambda: all(i.serves and len(i.members(Role.VOTER)) == size for i in everyone))
    one = everyone[0]
    await fill(one)
    await eventually(lambda: writes(one))
    assert max(await sizes(everyone)) < QUOTA / 2
    leader = await eventually(lambda: next((i for i in everyone if i.id == i.status.leader), None))
    steps = [e.step for e in leader.store.journal() if e.planner == "maintenance"]
    taken = [step for step in steps if step != "Wait"]
    before = taken[: taken.index("Disarm")]
    assert "Compact" == before[0]
    assert before.count("Defragment") >= size
    await eventually(lambda: () == one.status.warnings)


async def test_while_the_database_is_full_of_keys_it_is_read_only_and_says_so(fleet, eventually):
    (one,) = fleet(1, **CALM)
    await one.start()
    await eventually(lambda: one.serves)
    keys = [b"key/%d" % number for number in range(100)]
    for key in keys:
        with contextlib.suppress(NotWritable, OutcomeUnknown, Unavailable):
            await one.store.put(key, bytes(1_000_000))
    await eventually(lambda: one.status.state is StoreState.READ_ONLY)
    assert "has reached its quota, and nothing can be written" in one.error
    assert await one.read(keys[0]) is not None
    for key in keys:
        await one.delete(key)
    await eventually(lambda: writes(one))
    await eventually(lambda: one.serves)


async def test_an_operator_is_warned_on_every_instance_before_the_quota(
    fleet, start_all, eventually
):
    everyone = fleet(2, **CALM)
    await start_all(everyone)
    await eventually(lambda: all(i.serves and len(i.status.members) == 2 for i in everyone))
    for number in range(45):
        await everyone[0].put(b"key/%d" % number, bytes(1_000_000))
    await eventually(lambda: all(i.status.warnings for i in everyone))
    for instance in everyone:
        assert "of 64 MiB (store.etcd.quota_backend_bytes)" in instance.status.warnings[0]
