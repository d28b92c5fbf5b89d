"""Rules: who exists, in what state, and what is said when nobody knows."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from contextlib import aclosing

from formal_cluster.errors import DiscoveryUnavailable
from formal_cluster.model import InstanceState
from formal_cluster.protocols import Discovery
from formal_cluster_conformance.bed import PATIENCE_S, expect, holds, raises
from formal_cluster_conformance.discovery.bed import DiscoveryBed, find, first, ids, until
from formal_cluster_conformance.discovery.declaration import Feature
from formal_cluster_conformance.results import Violation
from formal_cluster_conformance.rules import rule

_SOON_S = 5.0


@rule("DI-SELF-01", "A process knows itself: its id, its address, and that it runs.")
async def knows_itself(bed: DiscoveryBed) -> None:
    """And is a `Discovery`."""
    instance, driver = await bed.one()
    holds(isinstance(driver, Discovery), f"{driver!r} lacks methods of Discovery")
    me = await driver.identify()
    expect((instance, InstanceState.RUNNING), (me.id, me.state), "who this process is")
    holds(me.address, "this process has no address")


@rule("DI-SELF-02", "Who a process is does not change.")
async def stays_itself(bed: DiscoveryBed) -> None:
    """Asked again and again."""
    _, driver = await bed.one()
    me = await driver.identify()
    for _ in range(3):
        expect(me, await driver.identify(), "who this process is")


@rule("DI-SELF-03", "A process is in its own view, as it knows itself.")
async def sees_itself(bed: DiscoveryBed) -> None:
    """Same id, address and state."""
    _, driver = await bed.one()
    me = await driver.identify()
    seen = find(await driver.discover(), me.id)
    expect((me.address, me.state), (seen.address, seen.state), "this process in its own view")


@rule(
    "DI-VIEW-01", "A view has every instance, once, sorted by id, and says whether it is complete."
)
async def all_sorted_once(bed: DiscoveryBed) -> None:
    """Two of them."""
    me, peer, driver = await bed.two()
    view = await driver.discover()
    expect(sorted([me, peer]), ids(view), "the ids of a view")
    expect(Feature.COMPLETE in bed.declaration.features, view.complete, "whether it is complete")


@rule("DI-VIEW-02", "All processes see each other at the same addresses.")
async def same_addresses(bed: DiscoveryBed) -> None:
    """Each as it describes itself."""
    me, peer, mine = await bed.two()
    drivers = {me: mine, peer: bed.create(peer)}
    addresses = {id_: (await driver.identify()).address for id_, driver in drivers.items()}
    for driver in drivers.values():
        view = await driver.discover()
        expect(addresses, {each.id: each.address for each in view.instances}, "the addresses")


@rule("DI-VIEW-03", "Looks at the same time agree.")
async def agree(bed: DiscoveryBed) -> None:
    """Five at once."""
    _, driver = await bed.one()
    views = await asyncio.gather(*(driver.discover() for _ in range(5)))
    expect(1, len(set(views)), "number of different views at one moment")


@rule(
    "DI-VIEW-04", "Whoever may be alive can be reached: it has an address.", needs=[Feature.VOUCHES]
)
async def reachable(bed: DiscoveryBed) -> None:
    """Also while others stop and come."""
    _, peer, driver = await bed.two()
    await bed.platform.stop(peer)
    await bed.platform.add()
    for instance in (await driver.discover()).instances:
        holds(
            instance.address or instance.state is InstanceState.STOPPED,
            f"{instance} may be alive and has no address",
        )


@rule(
    "DI-FRESH-01", "A look shows who has come before it, at once or soon.", needs=[Feature.CHANGES]
)
async def fresh(bed: DiscoveryBed) -> None:
    """One after the other."""
    instance, driver = await bed.one()
    present = [instance]
    await driver.discover()
    for _ in range(bed.size(3, 10)):
        present.append(await bed.platform.add())
        view = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SOON_S):
                while view is None or sorted(present) != ids(view):
                    view = await driver.discover()
                    await asyncio.sleep(0.01)
        expect(sorted(present), view and ids(view), "who is seen after somebody came")


@rule(
    "DI-SCALE-01",
    "A thousand instances are seen, each once.",
    needs=[Feature.CHANGES],
    deadline_s=180,
)
async def thousand(bed: DiscoveryBed) -> None:
    """In one view."""
    instance, driver = await bed.one()
    count = min(bed.size(150, 999), bed.declaration.most_peers - 1)
    everyone = sorted([instance, *await bed.platform.add_many(count)])
    view = await driver.discover()
    for _ in range(100):
        if ids(view) == everyone:
            break
        await asyncio.sleep(0.05)
        view = await driver.discover()
    missing = sorted(set(everyone) - set(ids(view)))
    expect([], missing[:5], f"the first of {len(missing)} instances that are not seen")
    expect(everyone, ids(view), "the ids of a large view")
    bed.evidence.operations += count


@rule("DI-STATE-01", "A peer is RUNNING if the platform vouches for that, else UNKNOWN.")
async def vouched_for(bed: DiscoveryBed) -> None:
    """A driver claims no more than its platform."""
    _, peer, driver = await bed.two()
    vouches = Feature.VOUCHES in bed.declaration.features
    expected = InstanceState.RUNNING if vouches else InstanceState.UNKNOWN
    expect(expected, find(await driver.discover(), peer).state, "the state of a peer")


@rule(
    "DI-STATE-02",
    "A death that the platform vouches for is shown as STOPPED.",
    needs=[Feature.VOUCHES],
)
async def proven(bed: DiscoveryBed) -> None:
    """By a watch."""
    _, peer, driver = await bed.two()
    async with aclosing(driver.watch()) as views:
        await first(views)
        await bed.platform.stop(peer)
        await until(
            views,
            lambda view: find(view, peer).state is InstanceState.STOPPED,
            f"that {peer} has stopped",
        )


@rule(
    "DI-STATE-03",
    "An instance that is merely gone is never shown as STOPPED.",
    needs=[Feature.CHANGES],
)
async def merely_gone(bed: DiscoveryBed) -> None:
    """Absence proves nothing."""
    _, peer, driver = await bed.two()
    await driver.discover()
    await bed.platform.lose(peer)
    for _ in range(bed.declaration.looks_for_proof + 2):
        states = {each.id: each.state for each in (await driver.discover()).instances}
        holds(
            states.get(peer, InstanceState.UNKNOWN) is InstanceState.UNKNOWN,
            f"an instance that is merely gone is shown as {states.get(peer)}",
        )


@rule(
    "DI-STATE-04",
    "The dead stay dead, also when the platform forgets them.",
    needs=[Feature.VOUCHES],
)
async def stay_dead(bed: DiscoveryBed) -> None:
    """What was proven once is remembered."""
    _, peer, driver = await bed.two()
    await bed.platform.stop(peer)
    for _ in range(bed.declaration.looks_for_proof):
        await driver.discover()
    await bed.platform.lose(peer)
    expect(
        InstanceState.STOPPED,
        find(await driver.discover(), peer).state,
        "the state of a dead instance that the platform has forgotten",
    )


@rule(
    "DI-ERROR-01",
    "A platform that is away is an error, never an empty or shorter view.",
    needs=[Feature.FAILS],
)
async def no_empty_view(bed: DiscoveryBed) -> None:
    """Asked again and again."""
    _, driver = await bed.one()
    await bed.platform.fail()
    for _ in range(3):
        async with raises(DiscoveryUnavailable, "a look at a platform that is away"):
            view = await driver.discover()
            raise Violation(f"a look at a platform that is away returned {view}")


@rule("DI-ERROR-02", "A driver recovers when its platform does.", needs=[Feature.FAILS])
async def recovers(bed: DiscoveryBed) -> None:
    """Without being made anew."""
    me, driver = await bed.one()
    await bed.platform.fail()
    async with raises(DiscoveryUnavailable, "a look at a platform that is away"):
        await driver.discover()
    await bed.platform.heal()
    expect([me], ids(await driver.discover()), "who is seen when the platform is back")


@rule("DI-WATCH-01", "A watch begins with a view, the same that a look gives.")
async def begins(bed: DiscoveryBed) -> None:
    """Watch and poll agree."""
    _, driver = await bed.one()
    async with aclosing(driver.watch()) as views:
        expect(await driver.discover(), await first(views), "the first view of a watch")


@rule(
    "DI-WATCH-02", "A watch shows who comes, and then agrees with a look.", needs=[Feature.CHANGES]
)
async def newcomers(bed: DiscoveryBed) -> None:
    """Several, one after the other."""
    _, driver = await bed.one()
    async with aclosing(driver.watch()) as views:
        view = await first(views)
        for _ in range(bed.size(2, 8)):
            newcomer = await bed.platform.add()
            view = await until(views, lambda view, id_=newcomer: id_ in ids(view), newcomer)  # type: ignore[misc]
        expect(ids(await driver.discover()), ids(view), "who is seen by a look and by a watch")


@rule(
    "DI-WATCH-03",
    "An outage neither ends a watch nor shows in it; afterwards it goes on.",
    needs=[Feature.FAILS, Feature.CHANGES],
)
async def outage(bed: DiscoveryBed) -> None:
    """Somebody comes meanwhile."""
    me, driver = await bed.one()
    async with aclosing(driver.watch()) as views:
        await first(views)
        await bed.platform.fail()
        pending = asyncio.ensure_future(anext(views))
        await asyncio.wait([pending], timeout=0.2)
        if pending.done():
            shown = pending.exception() or pending.result()
            raise Violation(f"an outage shows in a watch as {shown!r}")
        newcomer = await bed.platform.add()
        await bed.platform.heal()
        try:
            async with asyncio.timeout(PATIENCE_S):
                view = await pending
        except (TimeoutError, StopAsyncIteration) as error:
            raise Violation(f"a watch does not go on after an outage: {error!r}") from None
        expect(sorted([me, newcomer]), ids(view), "who is seen after an outage")


@rule("DI-CANCEL-01", "A look that is given up harms none that follows.")
async def given_up(bed: DiscoveryBed) -> None:
    """After various times."""
    me, driver = await bed.one()
    for _ in range(bed.size(4, 20)):
        look = asyncio.ensure_future(driver.discover())
        await asyncio.wait([look], timeout=bed.random.choice([0, 0.002, 0.005, 0.02]))
        look.cancel()
        await asyncio.wait([look], timeout=PATIENCE_S)
        holds(look.done(), "a look cannot be given up")
    async with asyncio.timeout(PATIENCE_S):
        holds(me in ids(await driver.discover()), "this process is not in its own view any more")


@rule("DI-CLOSE-01", "A driver leaves no tasks and no threads of its own behind.")
async def leaves_nothing(bed: DiscoveryBed) -> None:
    """After a watch that was given up."""

    def own_threads() -> set[threading.Thread]:
        # The default executor of the loop belongs to the loop.
        return {t for t in threading.enumerate() if not t.name.startswith("asyncio_")}

    instance = await bed.platform.add()
    threads, tasks = own_threads(), asyncio.all_tasks()
    driver = bed.platform.create(instance)
    async with aclosing(driver.watch()) as views:
        await first(views)
        waiting = asyncio.ensure_future(anext(views))
        await asyncio.wait([waiting], timeout=0.05)
        waiting.cancel()
        await asyncio.wait([waiting], timeout=PATIENCE_S)
        holds(waiting.done(), "a watch cannot be given up")
    await driver.aclose()
    expect(set(), own_threads() - threads, "threads that are left")
    if left := asyncio.all_tasks() - tasks:
        # Connections of the platform's own server end when they notice; a driver's tasks do not.
        _, pending = await asyncio.wait(left, timeout=PATIENCE_S / 3)
        expect(set(), pending, "tasks that are left")


@rule("DI-CLOSE-02", "A driver that was never used can be closed.")
async def never_used(bed: DiscoveryBed) -> None:
    """It has nothing to release."""
    await bed.platform.create(await bed.platform.add()).aclose()
