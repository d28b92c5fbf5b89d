"""Rules: life and errors of a driver, and giving up on calls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing

from formal_cluster.errors import Unavailable
from formal_cluster.model import Capability, StoreState
from formal_cluster.protocols import StateStore
from formal_cluster_conformance.bed import (
    PATIENCE_S,
    Bed,
    changes,
    eventually,
    expect,
    first,
    holds,
    raises,
)
from formal_cluster_conformance.declaration import Fault
from formal_cluster_conformance.killing import kill
from formal_cluster_conformance.rules import rule


async def _refuses_everything(store: StateStore, key: bytes, when: str) -> None:
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "get": lambda: store.get(key),
        "list": lambda: store.list(key),
        "put": lambda: store.put(key, b"v"),
        "delete": lambda: store.delete(key),
    }
    for name, call in calls.items():
        async with raises(Unavailable, f"{name} {when}"):
            await call()


@rule("ST-LIFE-01", "A store that serves says so, with its newest revision and without an error.")
async def says_so(bed: Bed) -> None:
    """`status` is from memory."""
    store = await bed.store()
    holds(isinstance(store.driver, StateStore), f"{store.driver!r} lacks methods of StateStore")
    revision = await store.put(bed.key(), b"v")
    await eventually(lambda: (store.status().revision or 0) >= revision, "the newest revision")
    status = store.status()
    expect(StoreState.SERVING, status.state, "the state")
    expect(None, status.last_error, "last_error")
    holds(status.stale_ms is not None, "stale_ms is None though the store serves")


@rule("ST-LIFE-02", "A store that was not started refuses every operation with Unavailable.")
async def not_started(bed: Bed) -> None:
    """Nothing hangs and nothing is made up."""
    store = bed.site.create(0)
    await _refuses_everything(store, bed.key(), "before the start")
    await store.stop()


@rule(
    "ST-LIFE-03",
    "A stopped store refuses every operation with Unavailable, says that it is "
    "stopped, and may be stopped again.",
)
async def stopped(bed: Bed) -> None:
    """Its watches end with the same error."""
    store = await bed.store()
    async with aclosing(store.watch(bed.prefix)) as watch:
        await first(watch, "the first update")
        waiting = asyncio.ensure_future(anext(watch))
        await asyncio.wait([waiting], timeout=0.02)
        await bed.site.retire(0)
        await store.stop()
        async with raises(Unavailable, "a watch that waits while its store is stopped"):
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    await waiting
                    waiting = asyncio.ensure_future(anext(watch))
    expect(StoreState.STOPPED, store.status().state, "the state after stop")
    await _refuses_everything(store, bed.key(), "after stop")


@rule(
    "ST-LIFE-04",
    "What was acknowledged is there after every driver was stopped, every node was killed, and all "
    "were started again.",
    needs=[Capability.SURVIVES_RESTART],
    deadline_s=120,
)
async def survives_restart(bed: Bed) -> None:
    """Keys and revisions; and the next change has a larger one."""
    store = await bed.store()
    revision = await store.put(bed.key(), b"v")
    # Before the drivers are stopped: some take their node with them.
    nodes = bed.site.backing.nodes if Fault.STOP_ALL in bed.declaration.faults else ()
    await kill(nodes)
    for instance in range(bed.declaration.instances):
        await bed.site.retire(instance)
    for node in nodes:
        await node.restart()
    entry = await (await bed.store()).get(bed.key())
    expect((b"v", revision), entry and (entry.value, entry.revision), "the key after a restart")
    later = await (await bed.store()).put(bed.key(), b"w")
    holds(later > revision, f"after a restart a change has revision {later}, before {revision}")


@rule(
    "ST-CANCEL-01",
    "A call that is given up happened or did not happen; nothing in between, and "
    "whatever comes after it is not disturbed.",
)
async def given_up(bed: Bed) -> None:
    """Calls cancelled after random times; keys and watch agree on what happened."""
    store = await bed.store()
    begin = await store.put(bed.key("begin"), b"")
    cancelled = 0
    for number in range(bed.size(40, 300)):
        key, value = bed.key(str(number)), b"%d" % number
        call = asyncio.ensure_future(store.put(key, value))
        if bed.random.random() < 0.3:
            await asyncio.sleep(0)
        else:
            await asyncio.wait([call], timeout=bed.random.random() * 0.003)
        call.cancel()
        await asyncio.wait([call], timeout=PATIENCE_S)
        holds(
            call.done(),
            f"put({key!r}) on instance 0 has not ended {PATIENCE_S:g} s after it was given up",
        )
        cancelled += call.cancelled()
        holds(call.cancelled() or call.exception() is None, f"it raised {call}")
    last = await store.put(bed.key("end"), b"")
    listing = await store.list(bed.prefix)
    present = {entry.key: (entry.value, entry.revision) for entry in listing.entries}
    if {Capability.WATCH, Capability.WATCH_HISTORY} <= store.capabilities:
        events = await changes(store, bed.prefix, begin, last)
        seen = {event.key: (event.value, event.revision) for event in events}
        late = {key for key in seen if key not in present}
        agreed = {key: entry for key, entry in seen.items() if key not in late}
        expect(
            {key: entry for key, entry in present.items() if entry[1] <= last},
            {key: entry for key, entry in agreed.items() if entry[1] <= last},
            "keys and changes after calls that were given up",
        )
    for number in range(bed.size(40, 300)):
        value, _ = present.get(bed.key(str(number)), (b"%d" % number, 0))
        expect(b"%d" % number, value, "the value of a put that was given up")
    bed.evidence.operations += cancelled
    bed.evidence.demand("calls given up under way", cancelled, 5)


@rule("ST-CANCEL-02", "Giving up reads, listings and watches harms no call that follows.")
async def reads_given_up(bed: Bed) -> None:
    """Many at a time."""
    store = await bed.store()
    revision = await store.put(bed.key(), b"v")
    for _ in range(bed.size(5, 30)):
        calls = [
            asyncio.ensure_future(call)
            for _ in range(10)
            for call in (store.get(bed.key()), store.list(bed.prefix))
        ]
        await asyncio.sleep(bed.random.random() * 0.002)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        entry = await store.get(bed.key())
        expect(revision, entry and entry.revision, "reading after others were given up")
