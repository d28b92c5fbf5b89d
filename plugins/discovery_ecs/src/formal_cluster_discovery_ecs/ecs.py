"""Discovery driver `ecs`: the tasks of this task's service are the instances.

Every look is two lists (the tasks that ECS wants to run, and those it wants to be stopped) and the
descriptions of all that is not known to be dead. What may be concluded is decided by `sightings`.
Nothing is concluded from a look that failed half-way.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence

from formal_cluster.discovery.polling import poll
from formal_cluster.errors import DiscoveryError, DiscoveryUnavailable
from formal_cluster.model import Instance, View
from formal_cluster_discovery_ecs import pacing, sightings, tasks
from formal_cluster_discovery_ecs.api import EcsApi
from formal_cluster_discovery_ecs.metadata import TaskMetadata
from formal_cluster_discovery_ecs.metadata_endpoint import MetadataEndpoint
from formal_cluster_discovery_ecs.settings import EcsSettings
from formal_cluster_discovery_ecs.sightings import Read, Sighting, Sightings
from formal_cluster_discovery_ecs.target import target_of


class EcsDiscovery:
    """The tasks of one service."""

    def __init__(
        self,
        settings: EcsSettings,
        endpoint: MetadataEndpoint,
        instance_id: str | None,
        logger: logging.Logger,
    ) -> None:
        self._settings = settings
        self._endpoint = endpoint
        self._instance_id = instance_id
        self._logger = logger
        self._me: TaskMetadata | None = None
        self._api: EcsApi | None = None
        self._clock_error_bound_ms: float | None = None
        # One look at a time: each goes on from what the one before it has learned.
        self._looking = asyncio.Lock()
        self._known: dict[str, Sighting] = {}
        self._last: tuple[View, float] | None = None
        self._gaps: Sequence[str] = ()
        self._listed = 0

    @property
    def clock_error_bound_ms(self) -> float | None:
        """By how many milliseconds this host's clock may be off, as of the last look.

        None where the platform does not vouch for the clock.
        """
        return self._clock_error_bound_ms

    @property
    def age_s(self) -> float | None:
        """How many seconds ago the last look succeeded; None before the first one."""
        return None if self._last is None else asyncio.get_running_loop().time() - self._last[1]

    async def identify(self) -> Instance:
        """This task, from the task metadata alone: ECS need not answer for that.

        Raises:
            DiscoveryError: This process does not run in an ECS task, or in one whose network mode
                is not supported, or instance.id contradicts the task's ARN.
        """
        return (await self._identified()).instance

    async def discover(self) -> View:
        """What ECS says of the service now, and what was learned of it before.

        Raises:
            DiscoveryUnavailable: ECS does not answer in time, refuses, or lists no task at all.
        """
        me = await self._identified()
        async with self._looking:
            try:
                async with asyncio.timeout(self._settings.timeout):
                    read = await self._look(me)
            except TimeoutError:
                raise self._unavailable(
                    f"ECS did not answer within {self._settings.timeout:g} s "
                    "(discovery.ecs.timeout)"
                ) from None
            except DiscoveryUnavailable as error:
                raise self._unavailable(str(error)) from error
            return self._learn(read, me.instance)

    def watch(self) -> AsyncGenerator[View, None]:
        """A view at once and at each change, looked for at the pace the service's size allows."""
        return poll(self.discover, source="ecs", interval=self._interval, logger=self._logger)

    async def aclose(self) -> None:
        """Release connections and threads; waits for the attempts of calls that are under way."""
        if self._api is not None:
            await self._api.aclose()

    async def _identified(self) -> TaskMetadata:
        if self._me is None:
            me = await self._endpoint.read()
            if self._instance_id not in {None, me.arn}:
                raise DiscoveryError(
                    f"instance.id is {self._instance_id!r}, but through ECS the others know this "
                    f"instance as {me.arn!r}; remove instance.id"
                )
            self._clock_error_bound_ms = me.clock_error_bound_ms
            self._me = me
        return self._me

    async def _look(self, me: TaskMetadata) -> Read:
        api = self._open(me)
        await self._look_at_the_clock()
        running, stopped = await api.list_tasks()
        if not running and not stopped:
            raise DiscoveryUnavailable("ECS lists no task of the service, not even this one")
        listed = frozenset(running) | frozenset(stopped)
        documents, missing = await api.describe(sightings.to_describe(self._known, listed))
        self._listed = len(running)
        return Read(listed, [tasks.parse(document) for document in documents], frozenset(missing))

    def _learn(self, read: Read, me: Instance) -> View:
        now = asyncio.get_running_loop().time()
        before = self._known
        self._known = sightings.update(
            before, read, now=now, margin_s=self._settings.confirm_stopped
        )
        view, gaps = sightings.view(self._known, read, me)
        self._last = view, now
        self._report(before, gaps, me)
        return view

    def _report(self, before: Sightings, gaps: Sequence[str], me: Instance) -> None:
        for task in sightings.newly_dead(before, self._known):
            fields = {"task": task.arn, "reason": task.stop_reason}
            if task.arn == me.id:
                self._logger.error(
                    "ECS says that this task has stopped, yet it runs: the other instances go on "
                    "without it",
                    extra=fields,
                )
            else:
                self._logger.info("instance stopped", extra=fields)
        for task in sightings.newly_unhealthy(before, self._known):
            self._logger.warning("ECS says that an instance is unhealthy", extra={"task": task.arn})
        if gaps != self._gaps and gaps:
            self._logger.warning("discovery is incomplete", extra={"gaps": list(gaps)})
        self._gaps = gaps

    async def _look_at_the_clock(self) -> None:
        """Learn by how much the clock may be off; when that cannot be learnt it is not known."""
        try:
            self._clock_error_bound_ms = (await self._endpoint.read_once()).clock_error_bound_ms
        except DiscoveryError as error:
            self._clock_error_bound_ms = None
            self._logger.debug("clock error bound not known", extra={"reason": str(error)})

    def _open(self, me: TaskMetadata) -> EcsApi:
        if self._api is None:
            target = target_of(self._settings, me)
            if target.service is None:
                self._logger.warning(
                    "the task metadata name no service: all tasks of the task definition family "
                    "are taken for instances; set discovery.ecs.service if that is too many",
                    extra={"family": target.family},
                )
            self._api = EcsApi(target, self._settings.endpoint_url)
        return self._api

    def _interval(self) -> float:
        return pacing.interval_s(self._settings.interval, self._listed)

    def _unavailable(self, reason: str) -> DiscoveryUnavailable:
        if self._last is None or self.age_s is None:
            return DiscoveryUnavailable(f"{reason}. There is no earlier view")
        count = len(self._last[0].instances)
        return DiscoveryUnavailable(
            f"{reason}. The last good view is {self.age_s:.0f} s old and has {count} instances"
        )
