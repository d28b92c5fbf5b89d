"""The runtime: wires discovery → store → counters → policy, and takes it down again.

`Cluster` is the object a proxy embeds:

    async with Cluster.from_settings("connector.toml") as cluster:
        decision = cluster.decide("pre_request", {"user": {"id": "alice"}, "bucket": {…}})
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar, overload

from formal_cluster import status
from formal_cluster.cache import BYTES, Cache, Codec, SharedCache
from formal_cluster.counters.clock import TOLERATED_LAG_MS
from formal_cluster.decision import Decider, Observer
from formal_cluster.decision_log import DecisionLog
from formal_cluster.discovery.clock_bound import ClockBound
from formal_cluster.discovery.drivers import create_drivers
from formal_cluster.discovery.merge import MergedDiscovery
from formal_cluster.errors import ConfigError, DiscoveryUnavailable, InputError, PluginError
from formal_cluster.hookspecs import (
    ClusterInfo,
    CountersContext,
    EnrichmentContext,
    StoreContext,
)
from formal_cluster.model import (
    STAGE_BY_NAME,
    Capability,
    ClusterState,
    CounterReading,
    Decision,
    Grade,
    Instance,
    Stage,
    StoreState,
    Window,
)
from formal_cluster.plugins import PluginManager
from formal_cluster.policy import PolicyHolder, PolicySet
from formal_cluster.protocols import (
    Counters,
    Discovery,
    Enricher,
    JournalEntry,
    JournalingStore,
    LeavingStore,
    ResettingCounters,
    StateStore,
    ThresholdCounters,
)
from formal_cluster.settings import Settings
from formal_cluster.settings_file import load_settings, settings_from

V = TypeVar("V")

_log = logging.getLogger(__name__)
_ASSESS_EVERY_S = 0.05
_IDENTIFY_WITHIN_S = 60.0
_IDENTIFY_EVERY_S = 2.0


class Cluster:
    """One instance's share of the cluster. Use it as an async context manager.

    `decide` may be called from any thread; everything else belongs to the event loop that
    entered the context.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._plugins = PluginManager.from_settings(settings)
        self._stack = contextlib.AsyncExitStack()
        self._started_at = time.monotonic()
        self._leaving = False
        self._assessed: tuple[float, ClusterInfo | None] = (0.0, None)
        self._instance: Instance
        self._clock: ClockBound
        self._store: StateStore
        self._counters: Counters
        self._cache: SharedCache
        self._policies: PolicyHolder
        self._decider: Decider

    @classmethod
    def from_settings(cls, settings: Settings | Path | str | Mapping[str, Any]) -> Cluster:
        """A cluster from settings, a configuration file, or the file's content as a mapping.

        Raises:
            ConfigError: The settings are wrong.
        """
        if isinstance(settings, Settings):
            return cls(settings)
        if isinstance(settings, Mapping):
            return cls(settings_from(settings))
        return cls(load_settings(Path(settings), os.environ))

    # ── life ─────────────────────────────────────────────────────────────────────────────────

    async def __aenter__(self) -> Self:
        """Start everything. Returns before the cluster has formed; see `ready` and `status`.

        Raises:
            ConfigError: Settings that can never work, a chosen plugin's included.
            PluginError: A chosen plugin cannot be loaded.
            PolicyLoadError: The policies are refused.
            DiscoveryError: The process does not run where its discovery driver works.
        """
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, failed: type[BaseException] | None, *_exc: object) -> None:
        try:
            if failed is None:
                await self.leave()
        finally:
            await self._stack.aclose()

    async def leave(self) -> None:
        """Let the other instances take over, before the context is left for good.

        `ready` is False from now on; decisions go on being made. Returns when the others have taken
        over, or the store's own time limit is over. A second call does nothing.
        """
        if self._leaving:
            return
        self._leaving = True
        if isinstance(self._store, LeavingStore):
            await self._store.leave()

    async def _start(self) -> None:
        settings = self.settings
        self._policies = PolicyHolder(settings.policy, settings.counter)
        discovery = await self._start_discovery()
        self._instance = await _identify(discovery)
        self._clock = ClockBound(discovery, tolerated_ms=TOLERATED_LAG_MS)
        self._store = self._plugins.create_store(
            StoreContext(self._instance, discovery, self._logger("store"))
        )
        self._refuse_strict_counters_without_support(self._store.capabilities)
        self._counters = self._plugins.create_counters(
            CountersContext(
                self._instance,
                self._store,
                settings.store.prefix.encode(),
                self._logger("counters"),
            )
        )
        self._cache = SharedCache(
            settings.cache, self._store, settings.store.prefix.encode(), self._logger("cache")
        )
        self._decider = Decider(
            settings, self._policies.current, self._counters, self._enrichers(), self._info
        )
        if settings.log.decisions is not None:
            log = DecisionLog(settings.log.decisions, self._instance.id)
            self._stack.callback(log.close)
            self.observe(log.append)
        self._stack.push_async_callback(self._store.stop)
        await self._store.start()
        self._stack.push_async_callback(self._counters.stop)
        self._use_thresholds(self._policies.current())
        await self._counters.start()
        self._stack.push_async_callback(self._cache.stop)
        await self._cache.start()
        await self._stack.enter_async_context(self._policies.watching(self._use_thresholds))
        await self._stack.enter_async_context(self._clock.reading())

    def _use_thresholds(self, policies: PolicySet) -> None:
        if isinstance(self._counters, ThresholdCounters):
            self._counters.use_thresholds(policies.largest_thresholds)

    async def _start_discovery(self) -> Discovery:
        names = self._plugins.discovery_drivers()
        drivers = create_drivers(self.settings, names, self._plugins.create_discovery)
        discovery = MergedDiscovery(drivers)
        self._stack.push_async_callback(discovery.aclose)
        return discovery

    def _enrichers(self) -> list[Enricher]:
        context = EnrichmentContext(self._instance, self._info, self._logger("enrichment"))
        enrichers = []
        for name in self.settings.enrichment.drivers:
            try:
                enrichers.append(self._plugins.create_enricher(name, context))
            except PluginError as error:
                if self.settings.enrichment.on_broken_plugin == "fail":
                    raise
                _log.error("enricher left out", extra={"enricher": name, "error": str(error)})
        return enrichers

    def _refuse_strict_counters_without_support(self, has: frozenset[Capability]) -> None:
        needed = {Capability.LINEARIZABLE_WRITES, Capability.COMPARE_AND_SWAP, Capability.WATCH}
        strict = [c for c in self.settings.counter if c.grade is not Grade.EVENTUAL]
        if strict and not needed <= has:
            missing = ", ".join(sorted(needed - has))
            raise ConfigError(
                f"counter {strict[0].name!r} is {strict[0].grade} but the store "
                f"{self.settings.store.driver!r} does not declare: {missing}; choose another store "
                'or grade = "eventual"'
            )

    @staticmethod
    def _logger(family: str) -> logging.Logger:
        return logging.getLogger(f"formal_cluster.{family}")

    # ── decisions ────────────────────────────────────────────────────────────────────────────

    def decide(self, stage: Stage | str, document: Mapping[str, Any]) -> Decision:
        """Decide at once, in local memory. Callable from any thread.

        A counter declared `reserved` is decided by hits that this instance has reserved before.

        Raises:
            InputError: The input cannot be decided on, or it touches a counter that only one of the
                other methods may decide: one declared strict (`strict_counter`), or a reserved one
                of which no hits are reserved at the moment (`nothing_reserved`).
        """
        return self._decider.decide(_stage(stage), document)

    async def decide_strict(self, stage: Stage | str, document: Mapping[str, Any]) -> Decision:
        """Decide on the shared log's order, every counter taken as `strict`: no overshoot.

        Raises:
            InputError: The input cannot be decided on.
        """
        return await self._decider.decide_strict(_stage(stage), document)

    async def decide_reserved(self, stage: Stage | str, document: Mapping[str, Any]) -> Decision:
        """Decide by hits reserved in the shared log, for every counter: no overshoot either.

        Waits for the log only when none are reserved: on the first accesses of a subject, and when
        its limit is near.

        Raises:
            InputError: The input cannot be decided on.
        """
        return await self._decider.decide_reserved(_stage(stage), document)

    async def decide_as_declared(self, stage: Stage | str, document: Mapping[str, Any]) -> Decision:
        """Decide with the grade of the counters that the request touches.

        If they have several, strict goes before reserved, and that before eventual.

        Raises:
            InputError: The input cannot be decided on.
        """
        return await self._decider.decide_as_declared(_stage(stage), document)

    def observe(self, observer: Observer) -> None:
        """Call `observer(decision, input, seconds)` after each decision, from its thread."""
        self._decider.observe(observer)

    # ── shared cache ─────────────────────────────────────────────────────────────────────────

    @overload
    def cache(self, namespace: str) -> Cache[bytes]: ...

    @overload
    def cache(self, namespace: str, codec: Codec[V]) -> Cache[V]: ...

    def cache(self, namespace: str, codec: Codec[Any] = BYTES) -> Cache[Any]:
        """A namespace of the cache that all instances share; `docs/shared-cache.md` says more.

        Args:
            codec: How its values are written, the same in all instances. Default: they are bytes.

        Raises:
            ConfigError: The settings have no `[cache.<namespace>]`.
        """
        return Cache(self._cache.namespace(namespace), codec)

    # ── condition ────────────────────────────────────────────────────────────────────────────

    @property
    def counters(self) -> Counters:
        """The counters, for reading them outside a decision."""
        return self._counters

    def reset_ms(self, reading: CounterReading) -> int | None:
        """When a counter leaves room for the next access, or for one more; milliseconds from now.

        Until as many hits have left the window as must so that an access comes below the limit
        that this one exceeded; if it did not, until the oldest hit has. As if nobody else came.
        None if the counter has no known limit, or none that an access can ever be below.
        """
        limit = reading.limit
        if limit is None or not isinstance(self._counters, ResettingCounters):
            return None
        window = Window.parse(reading.window)
        return self._counters.reset_ms(reading.key, window, min(reading.value, limit) - 1)

    @property
    def store(self) -> StateStore:
        """The state store. Keys below `store.prefix` belong to formal-cluster."""
        return self._store

    @property
    def ready(self) -> bool:
        """Whether decisions may be asked for: clustered, or known to be alone or cut off.

        False while the cluster is still forming, for at most `server.ready_after_seconds`; then
        the instance serves alone. And False once it is leaving.
        """
        if self._leaving:
            return False
        condition = self.status()
        if condition.state is not ClusterState.STANDALONE:
            return condition.store.state is not StoreState.SERVING or condition.counters.caught_up
        waited = time.monotonic() - self._started_at
        return (
            condition.store.state is not StoreState.STARTING
            or waited > self.settings.server.ready_after_seconds
        )

    @property
    def leaving(self) -> bool:
        """Whether `leave` was called."""
        return self._leaving

    def status(self) -> status.ClusterStatus:
        """The present condition, from memory."""
        store, counters = self._store.status(), self._counters.status()
        why = status.unreachable(store, counters, max_stale_ms=self.settings.counters.max_stale_ms)
        state, reason = status.assess(store, why, self._store.capabilities, counters.unsettled)
        return status.ClusterStatus(
            self._instance,
            state,
            reason,
            why is None,
            store,
            counters,
            policy_error=self._policies.last_error,
            clock_error_bound_ms=self._clock.bound_ms,
            clock_warning=self._clock.warning,
            cache=self._cache.status(),
        )

    def journal(self) -> Sequence[JournalEntry]:
        """The store's last decisions about its cluster, oldest first; none if it keeps none."""
        return self._store.journal() if isinstance(self._store, JournalingStore) else ()

    def _info(self) -> ClusterInfo:
        """The condition as decisions see it; assessed at most every 50 ms, for their speed."""
        assessed_at, info = self._assessed
        now = time.monotonic()
        if info is None or now - assessed_at > _ASSESS_EVERY_S:
            condition = self.status()
            info = ClusterInfo(
                condition.state,
                condition.counters.stale_ms,
                condition.peers,
                condition.reachable,
                status.unseen(
                    condition, current_within_ms=self.settings.counters.current_within_ms
                ),
            )
            self._assessed = now, info
        return info


async def _identify(discovery: Discovery) -> Instance:
    """Who this is; asked again for a while if the platform does not answer at first."""
    deadline = time.monotonic() + _IDENTIFY_WITHIN_S
    while True:
        try:
            return await discovery.identify()
        except DiscoveryUnavailable as error:
            if time.monotonic() > deadline:
                raise
            _log.warning("this instance is not identified yet", extra={"error": str(error)})
            await asyncio.sleep(_IDENTIFY_EVERY_S)


def _stage(stage: Stage | str) -> Stage:
    try:
        return STAGE_BY_NAME[stage]
    except KeyError:
        known = ", ".join(sorted(STAGE_BY_NAME))
        raise InputError(
            f"there is no stage {stage!r}; the stages are {known}", code="unknown_stage"
        ) from None
