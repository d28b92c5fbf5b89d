"""What a look costs, and what it is allowed to ask."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formal_cluster_discovery_ecs.pacing import calls_per_look, interval_s

SERVICE = "connector"

pytestmark = pytest.mark.usefixtures("patient_sdk")


async def test_nothing_but_list_tasks_and_describe_tasks_is_ever_called(world, ecs, create, me):
    driver = create(me)
    peer = world.run("127.0.0.2", service=SERVICE)
    await driver.identify()
    await driver.discover()
    world.stop(peer)
    await driver.discover()
    world.misplace(me)
    await driver.discover()
    async for _ in driver.watch():
        break

    assert {"ListTasks", "DescribeTasks"} == set(ecs.actions)


async def test_a_look_at_1000_tasks_is_21_calls(world, ecs, create, me):
    for number in range(999):
        world.run(f"127.1.{number // 250}.{number % 250 + 1}", service=SERVICE)

    view = await create(me).discover()

    assert (1_000, True) == (len(view.instances), view.complete)
    statuses = [call.parameters.get("desiredStatus") for call in ecs.calls]
    # Ten pages of running tasks, one (empty) of stopped ones, ten batches of descriptions.
    assert (10, 1, 10) == (
        statuses.count("RUNNING"),
        statuses.count("STOPPED"),
        statuses.count(None),
    )
    assert calls_per_look(1_000) == len(ecs.calls)


async def test_no_call_is_larger_than_ecs_allows(world, ecs, create, me):
    for number in range(150):
        world.run(f"127.1.0.{number + 1}", service=SERVICE)
    await create(me).discover()

    batches = [len(c.parameters["tasks"]) for c in ecs.calls if c.action == "DescribeTasks"]

    assert [51, 100] == sorted(batches)


def test_a_small_service_is_looked_at_as_often_as_configured():
    assert [10.0] * 3 == [interval_s(10.0, instances) for instances in (0, 3, 33)]


def test_a_large_service_is_looked_at_less_often_so_that_ecs_does_not_throttle():
    assert (30.0, 100.0) == (interval_s(10.0, 100), interval_s(10.0, 200))
    assert 300.0 == interval_s(10.0, 1_000)


@given(st.floats(0.1, 3_600), st.integers(0, 5_000))
def test_the_pace_never_passes_the_configured_one_and_falls_with_size(shortest, instances):
    assert shortest <= interval_s(shortest, instances) <= interval_s(shortest, instances + 1)


@given(st.integers(1, 300))
def test_a_service_makes_at_most_ten_calls_a_second(instances):
    assert instances * calls_per_look(instances) / interval_s(1.0, instances) <= 10.001
