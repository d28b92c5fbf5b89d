"""Discovery driver `k8s`: the pods of this instance's own controller are the instances.

`locating` tells who this is and where the others are listed, `following` keeps the `cache` up to
date, `looks` find out what became of pods that vanished, `views` adds it all up.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from random import SystemRandom

from formal_cluster.discovery.health_log import HealthLog
from formal_cluster.discovery.polling import jittered
from formal_cluster.errors import DiscoveryUnavailable
from formal_cluster.model import Instance, View
from formal_cluster_discovery_k8s.api import KubernetesApi
from formal_cluster_discovery_k8s.following import BACKOFF, Follower
from formal_cluster_discovery_k8s.locating import locate
from formal_cluster_discovery_k8s.picture import Picture
from formal_cluster_discovery_k8s.settings import K8sSettings


class K8sDiscovery:
    """The pods of one workload, one label selector, or one headless Service."""

    def __init__(
        self, settings: K8sSettings, instance_id: str | None, logger: logging.Logger
    ) -> None:
        self._settings = settings
        self._instance_id = instance_id
        self._logger = logger
        # As it is now: a process's pod does not change.
        self._environment = dict(os.environ)
        self._api = KubernetesApi(settings)
        self._locating = asyncio.Lock()
        self._picture: Picture | None = None

    async def identify(self) -> Instance:
        """This process's pod.

        Raises:
            DiscoveryUnavailable: Kubernetes does not tell (yet).
            DiscoveryError: The process is in no pod, or the settings contradict what it is in.
        """
        return await (await self._located()).identify()

    async def discover(self) -> View:
        """A view from a list that is at least as new as this call.

        Raises:
            DiscoveryUnavailable: The API server does not answer, refuses, or lists nothing.
        """
        picture = await self._located()
        picture.cache.replace(
            await self._api.list_all(picture.query), asyncio.get_running_loop().time()
        )
        # What closer looks add is worth a moment, not more.
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.timeout):
                await picture.look_closer()
        view = picture.view()
        if not view.instances:
            raise DiscoveryUnavailable(f"there are no {picture.query} (yet)")
        return view

    async def watch(self) -> AsyncGenerator[View, None]:
        """A view as soon as there was a list, then one at each change.

        Raises:
            DiscoveryError: The settings can never work.
        """
        news = asyncio.Event()
        upkeep = asyncio.create_task(self._keep_up(news.set))
        upkeep.add_done_callback(lambda _: news.set())
        last: View | None = None
        try:
            while True:
                await news.wait()
                news.clear()
                if upkeep.done():
                    upkeep.result()
                if self._picture is None or not self._picture.cache.synced:
                    continue
                view = self._picture.view()
                if view.instances and view != last:
                    last = view
                    yield view
        finally:
            upkeep.cancel()
            await asyncio.wait([upkeep])

    async def aclose(self) -> None:
        """Give up what is under way and close connections."""
        await self._api.aclose()

    async def _located(self) -> Picture:
        async with self._locating:
            if self._picture is None:
                place = await locate(
                    self._settings, self._api, self._instance_id, self._environment
                )
                self._picture = Picture(place, self._api, self._settings.gone_margin, self._logger)
            return self._picture

    async def _located_at_last(self) -> Picture:
        health, rng, failures = HealthLog(self._logger, "kubernetes"), SystemRandom(), 0
        while True:
            try:
                picture = await self._located()
            except DiscoveryUnavailable as error:
                failures += 1
                health.failed(str(error))
            else:
                health.answered()
                return picture
            await asyncio.sleep(jittered(BACKOFF.after(failures), rng))

    async def _keep_up(self, changed: Callable[[], None]) -> None:
        """Keep the picture up to date. Never returns."""
        picture = await self._located_at_last()
        wake = asyncio.Event()

        def listed() -> None:
            wake.set()
            changed()

        follower = Follower(
            self._api,
            picture.query,
            picture.cache,
            watch_seconds=self._settings.watch_seconds,
            logger=self._logger,
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(follower.run(listed))
                tasks.create_task(picture.tend(wake, changed))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
