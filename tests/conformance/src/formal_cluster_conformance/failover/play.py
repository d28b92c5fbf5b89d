"""Plays a fault under load: everything that several rules then look at."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, TypeVar

from formal_cluster.errors import OutcomeUnknown, StoreError, Unavailable
from formal_cluster.model import Capability, Entry, Event
from formal_cluster_conformance import load
from formal_cluster_conformance.bed import Bed, changes
from formal_cluster_conformance.calls import Traced
from formal_cluster_conformance.declaration import Fault
from formal_cluster_conformance.failover.faults import held, injected
from formal_cluster_conformance.linear.operation import Kind
from formal_cluster_conformance.results import Violation

_T = TypeVar("_T")
_CLIENTS: Final = 12
_PAUSE_S: Final = 0.003
_CALM_S: Final = 0.3
_WRITES_HIT: Final = 3
_FOLLOWED_S: Final = 20.0
_POLL_S: Final = 0.02
_WITNESS: Final = b"~witness"
"""A key that the load leaves alone: its own are soon written again, and what a fault has made of
them may never be read."""


@dataclass
class Recorded:
    """What happened around one fault.

    Attributes:
        truth: Every change of the load's keys, as a watch tells it afterwards.
        followed: What each instance's watch showed, opened before the fault.
        broken: Why a watch ended, if it did.
        lost: What instances read of the last write before the fault, if not what was written.
        held: From when to when the fault held, each time.
        during: Calls that ran at some time during the fault.
        hindered: Those of them that failed or took long.
        nobody_spared: Whether the fault cannot but hinder every call.
        recovered_s: How long after the fault all instances took writes again.
    """

    history: load.History
    what: list[str] = field(default_factory=list)
    truth: list[Event] = field(default_factory=list)
    followed: list[list[Event]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    held: list[tuple[float, float]] = field(default_factory=list)
    during: int = 0
    hindered: int = 0
    nobody_spared: bool = False
    recovered_s: float = 0.0


async def played(bed: Bed, fault: Fault) -> Recorded:
    """The fault, played once in a run for all rules that look at it."""
    if fault not in bed.shared:
        bed.shared[fault] = await _play(bed, fault)
    recorded: Recorded = bed.shared[fault]
    evidence = bed.evidence
    evidence.operations += len(recorded.history.operations)
    evidence.overlapping += recorded.history.overlapping
    evidence.unknown += recorded.history.unknown
    evidence.faults[str(fault)] = recorded.during
    evidence.demand(f"calls that ran during the fault {fault}", recorded.during, _CLIENTS)
    if recorded.nobody_spared:
        evidence.demand(f"calls that the fault {fault} hindered", recorded.hindered, 1)
    return recorded


async def _play(bed: Bed, fault: Fault) -> Recorded:
    drivers = await bed.many()
    await bed.settled()
    dice = random.Random(f"{bed.seed} {fault}")
    below = bed.prefix + b"load/"
    keys = [below + b"%d" % number for number in range(3)]
    begin = await drivers[0].put(below + b"~begin", b"")
    await drivers[0].put(below + _WITNESS, b"before")
    history, clients = load.clients(drivers, keys, below, dice, count=_CLIENTS)
    alone = len(bed.site.backing.nodes) == 1 and fault in (Fault.KILL, Fault.PAUSE)
    recorded, running = Recorded(history, nobody_spared=alone or fault is Fault.STOP_ALL), True
    async with _following(drivers, below, begin, recorded), asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(client.run(lambda: running, pause_s=_PAUSE_S))
        try:
            for _ in range(bed.size(1, 3)):
                await asyncio.sleep(_CALM_S)
                await _writes_under_way(clients)
                await _hit(bed, fault, dice, drivers, clients, recorded, below)
            await asyncio.sleep(_CALM_S)
        finally:
            running = False
    # Not before: a call that the fault holds up is in the history only when it has ended.
    recorded.during = sum(history.during(*each) for each in recorded.held)
    recorded.hindered = sum(history.hindered(*each) for each in recorded.held)
    return recorded


async def _writes_under_way(clients: Sequence[load.Client]) -> None:
    """Wait for a moment at which a fault hits writes, not the pauses between them."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_CALM_S):
            while sum(client.under_way is Kind.PUT for client in clients) < _WRITES_HIT:
                await asyncio.sleep(0)


async def _hit(
    bed: Bed,
    fault: Fault,
    dice: random.Random,
    drivers: Sequence[Traced],
    clients: Sequence[load.Client],
    recorded: Recorded,
    below: bytes,
) -> None:
    now = asyncio.get_running_loop().time

    def met() -> int:
        under_way = sum(client.under_way is not None for client in clients)
        return recorded.history.during(hit_at, now()) + under_way

    value = b"%d" % len(recorded.held)
    witness = Entry(below + _WITNESS, value, await drivers[0].put(below + _WITNESS, value))
    async with injected(bed.site, fault, dice) as what:
        hit_at = now()
        recorded.what.append(what)
        await held(1.5 if bed.quick else dice.uniform(1.0, 4.0), lambda: met() >= _CLIENTS)
        healed_at = now()
    recorded.held.append((hit_at, healed_at))
    for at, driver in enumerate(drivers):
        entry = await served(
            driver,
            f"get({witness.key!r})",
            lambda driver=driver: driver.get(witness.key),  # type: ignore[misc]
            bed.declaration.recovery_s,
        )
        if entry != witness:
            recorded.lost.append(
                f"after the fault instance {at} reads {entry}, acknowledged before it was {witness}"
            )
        await writable(driver, below + b"~%d" % at, bed.declaration.recovery_s)
    recorded.recovered_s = max(recorded.recovered_s, now() - healed_at)


async def writable(driver: Traced, key: bytes, within_s: float) -> None:
    """Wait until the driver takes writes.

    Raises:
        Violation: It does not in time.
    """
    await served(driver, f"put({key!r})", lambda: driver.put(key, b""), within_s)


async def served(
    driver: Traced, what: str, call: Callable[[], Awaitable[_T]], within_s: float
) -> _T:
    """What a call of the driver answers as soon as it is served.

    Raises:
        Violation: It is not in time.
    """
    last: StoreError | None = None
    try:
        async with asyncio.timeout(within_s):
            while True:
                try:
                    return await call()
                except (Unavailable, OutcomeUnknown) as error:
                    last = error
                    await asyncio.sleep(_POLL_S)
    except TimeoutError:
        last_said = "has not returned" if last is None else f"raised {last!r} last"
        raise Violation(
            f"{within_s:g} s after the fault (`recovery_s` of the declaration) instance "
            f"{driver.instance} is still not served: {what} {last_said}"
        ) from None


@asynccontextmanager
async def _following(
    drivers: Sequence[Traced], below: bytes, begin: int, recorded: Recorded
) -> AsyncIterator[None]:
    """Every driver's watch is read all the while, and up to the end of the load."""
    if not {Capability.WATCH, Capability.WATCH_HISTORY} <= drivers[0].capabilities:
        yield
        return
    recorded.followed = [[] for _ in drivers]
    positions = [0] * len(drivers)

    async def follow(at: int) -> None:
        try:
            async with aclosing(drivers[at].watch(below, from_revision=begin + 1)) as watch:
                async for update in watch:
                    recorded.followed[at] += update.events
                    positions[at] = max(positions[at], update.revision)
        except StoreError as error:
            recorded.broken.append(f"the watch of instance {at} ended: {error!r}")

    tasks = [asyncio.ensure_future(follow(at)) for at in range(len(drivers))]
    try:
        yield
        end = await drivers[0].put(below + b"~end", b"")
        recorded.truth = await changes(drivers[0], below, begin + 1, end)
        async with asyncio.timeout(_FOLLOWED_S):
            while min(positions) < end and not recorded.broken:
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        recorded.broken += [
            f"{_FOLLOWED_S:g} s after the load the watch of instance {at} is at revision "
            f"{position}, not at {end}"
            for at, position in enumerate(positions)
            if position < end
        ]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
