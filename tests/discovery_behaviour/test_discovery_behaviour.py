"""What holds for every discovery driver, whatever its platform.

Written against the protocol `Discovery` alone; the platforms are in `conftest.py`.
"""

import asyncio
import threading
from contextlib import aclosing

import pytest

from formal_cluster.errors import DiscoveryUnavailable
from formal_cluster.model import InstanceState
from formal_cluster.protocols import Discovery

PATIENCE_S = 20


def ids(view):
    return [instance.id for instance in view.instances]


def find(view, id_):
    return next(instance for instance in view.instances if instance.id == id_)


async def until(views, condition):
    """The first view of a watch that meets the condition."""
    async with asyncio.timeout(PATIENCE_S):
        async for view in views:
            if condition(view):
                return view
    raise AssertionError("the watch ended")


async def test_a_driver_is_a_discovery(platform, create):
    assert isinstance(create(await platform.add()), Discovery)


async def test_a_process_knows_itself_and_runs(platform, create):
    instance = await platform.add()

    me = await create(instance).identify()

    assert (instance, InstanceState.RUNNING) == (me.id, me.state)
    assert me.address


async def test_who_a_process_is_does_not_change(platform, create):
    driver = create(await platform.add())

    assert await driver.identify() == await driver.identify()


async def test_a_view_has_all_instances_sorted_and_once(platform, create):
    first, second = await platform.add(), await platform.add()

    view = await create(first).discover()

    assert sorted([first, second]) == ids(view)
    assert platform.is_complete is view.complete


async def test_a_process_sees_itself_as_it_knows_itself(platform, create):
    driver = create(await platform.add())
    me = await driver.identify()

    seen = find(await driver.discover(), me.id)

    assert (me.id, me.address, me.state) == (seen.id, seen.address, seen.state)


async def test_all_processes_see_each_other_where_they_are(platform, create):
    first, second = await platform.add(), await platform.add()
    drivers = {id_: create(id_) for id_ in (first, second)}
    addresses = {id_: (await driver.identify()).address for id_, driver in drivers.items()}

    for driver in drivers.values():
        view = await driver.discover()
        assert addresses == {instance.id: instance.address for instance in view.instances}


async def test_looks_at_the_same_time_agree(platform, create):
    driver = create(await platform.add())

    views = await asyncio.gather(*(driver.discover() for _ in range(5)))

    assert 1 == len(set(views))


async def test_a_look_that_is_given_up_harms_none_that_follows(platform, create):
    me = await platform.add()
    driver = create(me)
    for delay_s in (0, 0.005, 0.02):
        look = asyncio.ensure_future(driver.discover())
        await asyncio.wait([look], timeout=delay_s)
        look.cancel()
        await asyncio.wait([look])

    async with asyncio.timeout(PATIENCE_S):
        assert me in ids(await driver.discover())


async def test_a_watch_begins_with_a_view(platform, create):
    driver = create(await platform.add())

    async with asyncio.timeout(PATIENCE_S), aclosing(driver.watch()) as views:
        assert await driver.discover() == await anext(views)


async def test_a_watch_tells_of_a_newcomer(changing, create):
    async with aclosing(create(await changing.add()).watch()) as views:
        await anext(views)

        newcomer = await changing.add()

        await until(views, lambda view: newcomer in ids(view))


async def test_a_peer_runs_only_if_the_platform_vouches_for_that(platform, create):
    me, peer = await platform.add(), await platform.add()

    expected = InstanceState.RUNNING if platform.vouches else InstanceState.UNKNOWN
    assert expected is find(await create(me).discover(), peer).state


async def test_a_watch_proves_a_death_that_the_platform_vouches_for(vouching, create):
    me, peer = await vouching.add(), await vouching.add()
    async with aclosing(create(me).watch()) as views:
        await anext(views)

        await vouching.stop(peer)

        await until(views, lambda view: find(view, peer).state is InstanceState.STOPPED)


async def test_an_instance_that_is_merely_gone_is_not_dead(changing, create):
    me, peer = await changing.add(), await changing.add()
    driver = create(me)
    await driver.discover()

    await changing.lose(peer)

    for _ in range(changing.looks_for_proof + 1):
        states = {instance.id: instance.state for instance in (await driver.discover()).instances}
        assert states.get(peer, InstanceState.UNKNOWN) is InstanceState.UNKNOWN


async def test_the_dead_stay_dead(vouching, create):
    me, peer = await vouching.add(), await vouching.add()
    driver = create(me)
    await vouching.stop(peer)
    for _ in range(vouching.looks_for_proof):
        await driver.discover()

    await vouching.lose(peer)

    assert InstanceState.STOPPED is find(await driver.discover(), peer).state


async def test_whoever_may_be_alive_can_be_reached(vouching, create):
    me, peer = await vouching.add(), await vouching.add()
    driver = create(me)
    await vouching.stop(peer)
    await vouching.add()

    for instance in (await driver.discover()).instances:
        assert instance.address or instance.state is InstanceState.STOPPED


async def test_a_platform_that_is_away_is_no_empty_view(failing, create):
    driver = create(await failing.add())
    await failing.fail()

    with pytest.raises(DiscoveryUnavailable):
        await driver.discover()


async def test_a_driver_recovers_with_its_platform(failing, create):
    me = await failing.add()
    driver = create(me)
    await failing.fail()
    with pytest.raises(DiscoveryUnavailable):
        await driver.discover()

    await failing.heal()

    assert [me] == ids(await driver.discover())


async def test_an_outage_neither_ends_a_watch_nor_shows_in_it(failing, create):
    me = await failing.add()
    async with aclosing(create(me).watch()) as views:
        await anext(views)
        await failing.fail()
        pending = asyncio.ensure_future(anext(views))
        await asyncio.wait([pending], timeout=0.2)
        assert not pending.done()

        newcomer = await failing.add()
        await failing.heal()

        async with asyncio.timeout(PATIENCE_S):
            assert sorted([me, newcomer]) == ids(await pending)


async def test_a_driver_leaves_no_tasks_and_threads_of_its_own_behind(platform):
    def own_threads():
        # The default executor of the loop belongs to the loop.
        return {t for t in threading.enumerate() if not t.name.startswith("asyncio_")}

    instance = await platform.add()
    threads, tasks = own_threads(), asyncio.all_tasks()
    driver = platform.create(instance)
    async with aclosing(driver.watch()) as views:
        await anext(views)
        waiting = asyncio.ensure_future(anext(views))
        await asyncio.wait([waiting], timeout=0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    await driver.aclose()

    assert own_threads() <= threads
    if left := asyncio.all_tasks() - tasks:
        # Connections of the platform's own server end when they notice; a driver's tasks do not.
        _, pending = await asyncio.wait(left, timeout=PATIENCE_S)
        assert set() == pending


async def test_a_driver_that_was_never_used_can_be_closed(platform):
    await platform.create(await platform.add()).aclose()
