"""Injects one fault, holds it for a while, and takes it back."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from formal_cluster_conformance.declaration import Fault, Node, NotPossible
from formal_cluster_conformance.killing import kill
from formal_cluster_conformance.proxy import TcpProxy
from formal_cluster_conformance.results import Undecided
from formal_cluster_conformance.site import Site

_DELAY_S: Final = 0.1
_LONGEST_S: Final = 10.0
_LOOK_S: Final = 0.05


async def held(seconds: float, enough: Callable[[], bool], *, most_s: float = _LONGEST_S) -> None:
    """Wait while a fault is in force: so long, and up to `most_s` for enough to happen.

    A machine that has other work would else see a fault that next to nothing met.
    """
    now = asyncio.get_running_loop().time
    begun = now()
    await asyncio.sleep(seconds)
    while not enough() and now() < begun + most_s:
        await asyncio.sleep(_LOOK_S)


@asynccontextmanager
async def injected(site: Site, fault: Fault, dice: random.Random) -> AsyncIterator[str]:
    """The fault holds inside; yields in words what was done. Whom it hits, the dice say.

    Raises:
        NotPossible: There is nothing that it could be done to.
        Undecided: It met nothing: a node lives on, or nobody used a way that was cut or slowed.
    """
    if not site.backing.nodes:
        raise NotPossible("the backing system has no nodes that the suite could lay hands on")
    if fault in (Fault.PARTITION, Fault.DELAY):
        async with _network(site, fault, dice) as what:
            yield what
        return
    nodes = site.backing.nodes
    hit: Sequence[Node] = nodes if fault is Fault.STOP_ALL else [dice.choice(nodes)]
    names = ", ".join(node.name for node in hit)
    if fault is Fault.PAUSE:
        await asyncio.gather(*(node.pause() for node in hit))
        try:
            yield f"{names} paused"
        finally:
            await asyncio.gather(*(node.resume() for node in hit))
        return
    await kill(hit)
    try:
        yield f"{names} killed"
    finally:
        for node in hit:
            await node.restart(wipe=fault is Fault.WIPE)


@asynccontextmanager
async def _network(site: Site, fault: Fault, dice: random.Random) -> AsyncIterator[str]:
    ways = _some_ways(site, dice)
    before = sum(way.hindered for way in ways)
    for way in ways:
        if fault is Fault.PARTITION:
            way.cut()
        else:
            way.delay_s = _DELAY_S
    try:
        yield f"{len(ways)} ways {'cut' if fault is Fault.PARTITION else 'slowed'}"
    finally:
        for way in ways:
            way.heal()
    if sum(way.hindered for way in ways) == before:
        raise Undecided(f"nobody sent anything over the {len(ways)} ways that were hit")


def _some_ways(site: Site, dice: random.Random) -> list[TcpProxy]:
    """All ways of one instance, or all ways to one node; of those that are used."""
    rows = [list(row) for row in site.ways if row]
    columns = [list(column) for column in zip(*rows, strict=True)]
    if not rows:
        raise NotPossible("the drivers do not connect through the suite's proxies")
    kinds = [used for kind in (rows, columns) if (used := [ways for ways in kind if _used(ways)])]
    if not kinds:
        raise Undecided("no driver has a connection through the suite's proxies: see `create`")
    return dice.choice(dice.choice(kinds))


def _used(ways: Sequence[TcpProxy]) -> bool:
    return any(way.connections for way in ways)
