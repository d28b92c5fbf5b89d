"""The driver against a scripted ECS, through the unmodified SDK."""

import asyncio
import logging
from contextlib import aclosing

import pytest

from formal_cluster.errors import DiscoveryError, DiscoveryUnavailable
from formal_cluster.model import Instance, InstanceState

SERVICE = "connector"

pytestmark = pytest.mark.usefixtures("patient_sdk")


@pytest.fixture
def peer(world):
    return world.run("127.0.0.2", service=SERVICE)


def found(view, task):
    """What the view says of a task; None if it does not have it."""
    return next((instance for instance in view.instances if instance.id == task.arn), None)


async def looks(driver, count):
    for _ in range(count - 1):
        await driver.discover()
    return await driver.discover()


# ── who ──────────────────────────────────────────────────────────────────────────────────────


async def test_the_tasks_of_a_service_find_each_other(world, create, me, peer):
    mine, theirs = await create(me).discover(), await create(peer).discover()

    assert mine == theirs
    assert mine.complete
    assert sorted([me.arn, peer.arn]) == [instance.id for instance in mine.instances]
    assert found(mine, peer) == Instance(
        peer.arn,
        "127.0.0.2",
        InstanceState.RUNNING,
        started_at=pytest.approx(peer.created_at, abs=0.001),
        zone=peer.zone,
        generation="connector:1",
    )


async def test_who_i_am_is_known_while_ecs_is_away(ecs, create, me):
    ecs.break_down()

    myself = await create(me).identify()

    assert (me.arn, "127.0.0.1", InstanceState.RUNNING) == (
        myself.id,
        myself.address,
        myself.state,
    )
    assert [] == ecs.calls


async def test_an_instance_id_that_the_others_cannot_know_is_refused(create, me):
    with pytest.raises(DiscoveryError, match=r"instance\.id is 'mine', .*remove instance\.id"):
        await create(me, instance_id="mine").identify()

    assert me.arn == (await create(me, instance_id=me.arn).identify()).id


async def test_an_unsupported_network_mode_is_refused_at_start_up(world, create):
    task = world.run("172.17.0.3", service=SERVICE, launch_type="EC2", network_mode="bridge")

    with pytest.raises(DiscoveryError, match="awsvpc"):
        await create(task).identify()


async def test_tasks_of_other_services_are_none_of_ours(world, create, me):
    other = world.run("127.0.0.9", service="other-service")

    assert found(await create(me).discover(), other) is None


async def test_without_a_service_name_the_family_is_the_service(
    world, ecs, metadata, create, me, caplog
):
    metadata.overrides["ServiceName"] = None
    same_family = world.run("127.0.0.2")
    other_family = world.run("127.0.0.3", family="other")

    view = await create(me).discover()

    assert found(view, same_family)
    assert found(view, other_family) is None
    assert "connector" == next(r for r in caplog.records if "family" in r.message).family


async def test_a_configured_service_is_preferred_to_the_tasks_own(world, ecs, create, me):
    other = world.run("127.0.0.9", service="other-service")

    view = await create(me, service="other-service").discover()

    assert found(view, other)
    assert not view.complete, "this task is not one of them"


async def test_a_configured_cluster_is_preferred_to_the_tasks_own(create, me):
    with pytest.raises(DiscoveryUnavailable, match=r"correct or remove discovery\.ecs\.cluster"):
        await create(me, cluster="elsewhere").discover()


async def test_the_region_is_that_of_the_task(world, ecs, create):
    world.region = "ap-southeast-2"

    assert (await create(world.run("127.0.0.1", service=SERVICE)).discover()).complete


async def test_ipv6_alone_will_do(world, create, me):
    peer = world.run(ipv6_address="2001:db8::2", service=SERVICE)

    assert "2001:db8::2" == found(await create(me).discover(), peer).address


# ── the life of a task ───────────────────────────────────────────────────────────────────────


async def test_a_task_becomes_an_instance_when_it_has_an_address(world, create, me):
    driver = create(me)
    peer = world.provision(service=SERVICE)
    view = await driver.discover()
    assert (None, True) == (found(view, peer), view.complete)

    world.attach(peer, "127.0.0.2")
    assert InstanceState.STARTING is found(await driver.discover(), peer).state

    world.start(peer)
    assert InstanceState.RUNNING is found(await driver.discover(), peer).state


async def test_a_task_that_is_being_stopped_runs_until_it_has_stopped(world, create, me, peer):
    driver = create(me)
    world.begin_stop(peer)
    assert InstanceState.RUNNING is found(await driver.discover(), peer).state

    world.stop(peer)

    assert InstanceState.UNKNOWN is found(await driver.discover(), peer).state
    assert InstanceState.STOPPED is found(await driver.discover(), peer).state


async def test_two_looks_within_the_margin_do_not_prove_a_death(world, create, me, peer):
    driver = create(me, confirm_stopped=3_600.0)
    world.stop(peer)

    assert InstanceState.UNKNOWN is found(await looks(driver, 3), peer).state


async def test_a_new_instance_learns_of_those_that_stopped_before_it_began(world, create, peer):
    world.stop(peer)
    newcomer = world.run("127.0.0.3", service=SERVICE)

    view = await looks(create(newcomer), 2)

    assert (InstanceState.STOPPED, "127.0.0.2") == (
        found(view, peer).state,
        found(view, peer).address,
    )


async def test_a_death_is_remembered_when_ecs_has_forgotten_it(world, ecs, create, me, peer):
    driver = create(me)
    world.stop(peer)
    await looks(driver, 2)

    world.advance(3_700)

    assert InstanceState.STOPPED is found(await looks(driver, 2), peer).state


async def test_the_dead_are_not_asked_about_again(world, ecs, create, me, peer):
    driver = create(me)
    world.stop(peer)
    await looks(driver, 2)
    ecs.calls.clear()

    await driver.discover()

    [described] = [call for call in ecs.calls if call.action == "DescribeTasks"]
    assert [me.arn] == described.parameters["tasks"]


async def test_a_task_that_vanished_is_unknown_where_it_was(world, create, me, peer):
    driver = create(me)
    await driver.discover()
    world.forget(peer)

    view = await looks(driver, 3)

    assert (InstanceState.UNKNOWN, "127.0.0.2") == (
        found(view, peer).state,
        found(view, peer).address,
    )


async def test_a_task_that_left_the_list_is_still_asked_about(world, ecs, create, me, peer):
    driver = create(me)
    await driver.discover()
    before = world.snapshot()
    del before.tasks[peer.arn]

    ecs.serve_stale(before)
    assert InstanceState.UNKNOWN is found(await driver.discover(), peer).state
    ecs.heal()
    assert InstanceState.RUNNING is found(await driver.discover(), peer).state


async def test_a_task_that_is_listed_and_missing_makes_the_view_incomplete(
    world, create, me, peer, caplog
):
    driver = create(me)
    world.misplace(peer)
    view = await driver.discover()
    assert (None, False) == (found(view, peer), view.complete)
    assert [peer.arn in gap for record in caplog.records for gap in record.gaps] == [True]

    world.find(peer)

    assert (await driver.discover()).complete


async def test_a_task_whose_host_is_out_of_touch_is_unknown_until_it_is_back(
    world, create, me, peer
):
    driver = create(me)
    world.disconnect(peer)
    assert InstanceState.UNKNOWN is found(await looks(driver, 3), peer).state

    world.reconnect(peer)

    assert InstanceState.RUNNING is found(await driver.discover(), peer).state


async def test_an_orphaned_task_is_never_taken_for_dead(world, create, me, peer):
    world.orphan(peer)

    assert InstanceState.UNKNOWN is found(await looks(create(me), 3), peer).state


async def test_a_replacement_is_another_instance_at_another_address(world, create, me, peer):
    driver = create(me)
    world.stop(peer)
    replacement = world.run("127.0.0.3", service=SERVICE, revision=2)

    view = await looks(driver, 2)

    assert InstanceState.STOPPED is found(view, peer).state
    assert ("127.0.0.3", "connector:2") == (
        found(view, replacement).address,
        found(view, replacement).generation,
    )


async def test_why_an_instance_stopped_is_logged_once(world, create, me, peer, caplog):
    world.stop(peer, "SpotInterruption", "Your Spot Task was interrupted.")

    with caplog.at_level(logging.INFO, logger="test.ecs"):
        await looks(create(me), 4)

    [record] = caplog.records
    assert "SpotInterruption: Your Spot Task was interrupted." == record.reason


async def test_an_unhealthy_instance_is_still_an_instance_and_logged(
    world, create, me, peer, caplog
):
    world.judge(peer, "UNHEALTHY")

    view = await looks(create(me), 2)

    assert InstanceState.RUNNING is found(view, peer).state
    assert [peer.arn] == [record.task for record in caplog.records]


# ── eventual consistency ─────────────────────────────────────────────────────────────────────


async def test_a_stale_answer_does_not_bring_back_what_was_known_better(
    world, ecs, create, me, peer
):
    driver = create(me)
    before = world.snapshot()
    world.stop(peer)
    await driver.discover()

    ecs.serve_stale(before)
    assert InstanceState.UNKNOWN is found(await driver.discover(), peer).state
    ecs.heal()
    assert InstanceState.STOPPED is found(await driver.discover(), peer).state


async def test_a_list_that_lacks_this_task_is_incomplete_and_this_task_is_in_the_view(
    world, ecs, create, peer
):
    before = world.snapshot()
    me = world.run("127.0.0.1", service=SERVICE)
    ecs.serve_stale(before)

    view = await create(me).discover()

    assert InstanceState.RUNNING is found(view, me).state
    assert not view.complete


async def test_an_empty_list_is_no_answer(world, create, me):
    driver = create(me)
    await driver.identify()
    world.forget(me)

    with pytest.raises(DiscoveryUnavailable, match="not even this one"):
        await driver.discover()


async def test_a_service_that_is_scaled_to_zero_is_no_outage(world, create, me, peer):
    for task in (me, peer):
        world.begin_stop(task)

    view = await create(me).discover()

    assert (True, 2) == (view.complete, len(view.instances))


async def test_a_process_that_ecs_takes_for_stopped_says_so(world, create, me, peer, caplog):
    world.stop(me)

    view = await looks(create(me), 3)

    assert InstanceState.RUNNING is found(view, me).state
    assert ["ERROR"] == [record.levelname for record in caplog.records]


# ── watching ─────────────────────────────────────────────────────────────────────────────────


async def test_a_watch_yields_at_once_and_at_each_change(world, create, me):
    async with asyncio.timeout(50), aclosing(create(me).watch()) as views:
        assert [me.arn] == [instance.id for instance in (await anext(views)).instances]

        peer = world.run("127.0.0.2", service=SERVICE)

        assert InstanceState.RUNNING is found(await anext(views), peer).state


async def test_a_watch_proves_a_death_without_further_changes(world, create, me, peer):
    async with asyncio.timeout(50), aclosing(create(me, confirm_stopped=0.05).watch()) as views:
        await anext(views)
        world.stop(peer)
        states = [found(await anext(views), peer).state for _ in range(2)]

    assert [InstanceState.UNKNOWN, InstanceState.STOPPED] == states


async def test_concurrent_looks_are_one_after_the_other(ecs, create, me):
    driver = create(me)

    first, second = await asyncio.gather(driver.discover(), driver.discover())

    assert first == second
    assert ["ListTasks", "ListTasks", "DescribeTasks"] * 2 == ecs.actions


# ── the clock ────────────────────────────────────────────────────────────────────────────────


async def test_the_clock_error_bound_follows_the_platforms(metadata, create, me):
    driver = create(me)
    await driver.identify()
    assert pytest.approx(0.3148955) == driver.clock_error_bound_ms

    metadata.overrides["ClockDrift"] = {
        "ClockErrorBound": 12.5,
        "ReferenceTimestamp": "2026-11-01T00:00:00Z",
        "ClockSynchronizationStatus": "SYNCHRONIZED",
    }
    await driver.discover()

    assert 12.5 == driver.clock_error_bound_ms


async def test_a_bound_that_cannot_be_read_is_not_known_and_stops_nothing(metadata, create, me):
    driver = create(me)
    await driver.identify()
    metadata.fail(1)

    assert (await driver.discover()).complete
    assert driver.clock_error_bound_ms is None
