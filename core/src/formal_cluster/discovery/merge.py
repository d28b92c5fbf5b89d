"""Several discovery drivers as one.

Meant for drivers that list *different* instances (ECS tasks and a static list of machines), or
the same ones under the same ids. A process that two drivers know by two ids stays two instances:
nothing here guesses that they are one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace

from formal_cluster.discovery.clock_bound import clock_error_bound_ms
from formal_cluster.discovery.health_log import HealthLog
from formal_cluster.errors import DiscoveryError, DiscoveryUnavailable
from formal_cluster.model import Instance, InstanceState, View
from formal_cluster.protocols import Discovery

_log = logging.getLogger(__name__)

_PROGRESS = (
    InstanceState.UNKNOWN,
    InstanceState.STARTING,
    InstanceState.RUNNING,
    InstanceState.STOPPED,
)


def merge(views: Iterable[View]) -> View:
    """One view of several, given in the configured order of their drivers.

    The first driver that lists an id describes the instance, except for its state, which is the
    furthest that any driver saw in unknown → starting → running → stopped. An id is one life of
    one process, so its state only moves that way, and the furthest is the newest news. The merged
    view is complete if all of `views` are.
    """
    merged: dict[str, Instance] = {}
    complete = True
    for view in views:
        complete = complete and view.complete
        for instance in view.instances:
            known = merged.setdefault(instance.id, instance)
            furthest = max(known.state, instance.state, key=_PROGRESS.index)
            merged[instance.id] = replace(known, state=furthest)
    return View(tuple(merged[id_] for id_ in sorted(merged)), complete)


class MergedDiscovery:
    """A `Discovery` over a list of drivers, of which the first identifies this process.

    A driver that does not answer makes the view incomplete. A driver that fails for good
    (DiscoveryError) is a mistake in the configuration and is raised.
    """

    def __init__(self, drivers: Sequence[Discovery]) -> None:
        if not drivers:
            raise ValueError("MergedDiscovery needs at least one driver")
        self._drivers = tuple(drivers)
        self._health = [HealthLog(_log, _name(driver)) for driver in drivers]

    @property
    def clock_error_bound_ms(self) -> float | None:
        """The smallest bound of the drivers' clock error, as all of them bound the same clock."""
        bounds = [clock_error_bound_ms(driver) for driver in self._drivers]
        return min((bound for bound in bounds if bound is not None), default=None)

    async def identify(self) -> Instance:
        """What the first driver says.

        Raises:
            DiscoveryError: It cannot identify this process.
        """
        return await self._drivers[0].identify()

    async def discover(self) -> View:
        """The merged view of all drivers that answer, read at the same time.

        Raises:
            DiscoveryUnavailable: None answered.
            DiscoveryError: One of them failed for good.
        """
        answers = await asyncio.gather(*(_answer(driver) for driver in self._drivers))
        views = []
        for answer, health in zip(answers, self._health, strict=True):
            if isinstance(answer, View):
                health.answered()
                views.append(answer)
            elif isinstance(answer, DiscoveryUnavailable):
                health.failed(str(answer))
            else:
                raise answer
        if not views:
            reasons = "; ".join(
                f"{_name(driver)}: {answer}"
                for driver, answer in zip(self._drivers, answers, strict=True)
            )
            raise DiscoveryUnavailable(f"no discovery driver answers: {reasons}")
        return self._merged(views)

    async def watch(self) -> AsyncGenerator[View, None]:
        """Merged views: the first as soon as one driver has reported, then one at each change.

        A driver that stops answering keeps its last view, as it would when watched alone.

        Raises:
            DiscoveryError: A driver failed for good.
        """
        newest: dict[int, View] = {}
        news = asyncio.Event()

        async def follow(index: int, driver: Discovery) -> None:
            async with aclosing(driver.watch()) as views:
                async for view in views:
                    newest[index] = view
                    news.set()
            raise DiscoveryError(f"the watch of {_name(driver)} ended; that is a bug in the driver")

        # Not a TaskGroup: it must not span a `yield`, or it would cancel whoever consumes this.
        followers = [
            asyncio.create_task(follow(index, driver)) for index, driver in enumerate(self._drivers)
        ]
        for follower in followers:
            follower.add_done_callback(lambda _: news.set())
        last: View | None = None
        try:
            while True:
                await news.wait()
                news.clear()
                for follower in followers:
                    if follower.done():
                        follower.result()
                merged = self._merged([newest[index] for index in sorted(newest)])
                if merged != last:
                    last = merged
                    yield merged
        finally:
            for follower in followers:
                follower.cancel()
            await asyncio.wait(followers)

    async def aclose(self) -> None:
        """Close all drivers, also when closing one of them fails."""
        async with AsyncExitStack() as stack:
            for driver in self._drivers:
                stack.push_async_callback(driver.aclose)

    def _merged(self, views: Sequence[View]) -> View:
        merged = merge(views)
        all_reported = len(views) == len(self._drivers)
        return replace(merged, complete=merged.complete and all_reported)


async def _answer(driver: Discovery) -> View | DiscoveryError:
    try:
        return await driver.discover()
    except DiscoveryError as error:
        return error


def _name(driver: Discovery) -> str:
    return type(driver).__name__
