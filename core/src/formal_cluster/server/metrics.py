"""`/metrics`: what happened (decisions) and how things stand (read at each scrape), Prometheus."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from formal_cluster.cache.status import CacheStatus
from formal_cluster.cluster import Cluster
from formal_cluster.model import ClusterState, Decision

_BUCKETS_S = (25e-6, 50e-6, 100e-6, 250e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 100e-3, 1.0, 5.0)


class Metrics:
    """The registry of one instance."""

    def __init__(self, cluster: Cluster) -> None:
        self.registry = CollectorRegistry()
        self._decisions = Counter(
            "formal_cluster_decisions",
            "Decisions made.",
            ("stage", "action"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "formal_cluster_decision_seconds",
            "Time a decision took, waiting for the log included.",
            ("grade",),
            buckets=_BUCKETS_S,
            registry=self.registry,
        )
        self.registry.register(_Standing(cluster))
        cluster.observe(self._observe)

    def _observe(self, decision: Decision, _document: object, seconds: float) -> None:
        self._decisions.labels(decision.stage, decision.action).inc()
        self._seconds.labels(decision.grade or "none").observe(seconds)


class _Standing(Collector):
    """Gauges made from the statuses when somebody looks."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def collect(self) -> Iterable[Metric]:
        status = self._cluster.status()
        state = GaugeMetricFamily(
            "formal_cluster_state", "1 for the state the instance is in.", labels=["state"]
        )
        for each in ClusterState:
            state.add_metric([each], float(each is status.state))
        members = GaugeMetricFamily(
            "formal_cluster_members", "Members by role and health.", labels=["role", "healthy"]
        )
        tally: dict[tuple[str, str], int] = {}
        for member in status.store.members:
            health = {True: "yes", False: "no", None: "unknown"}[member.healthy]
            tally[member.role, health] = tally.get((member.role, health), 0) + 1
        for labels, number in tally.items():
            members.add_metric(labels, number)
        yield state
        yield members
        counters = status.counters
        gauges: dict[str, tuple[str, float]] = {
            "revision": ("Store revision folded into the counters.", counters.revision),
            "subjects": ("Subjects held in memory.", counters.subjects),
            "pending_hits": ("Hits not yet confirmed by the log.", counters.pending),
            "store_warnings": (
                "Things that an operator should look after; /v1/cluster names them.",
                len(status.store.warnings),
            ),
            "peers": ("Other healthy members.", status.peers),
            "clock_off_seconds": (
                "How far this instance's clock is ahead of the others'; 0 if it is among them.",
                counters.clock_off_ms / 1000,
            ),
            "clock_warning": (
                "1 if the instances' clocks disagree; /v1/cluster says which and by how much.",
                float(counters.clock_warning is not None),
            ),
        }
        if counters.stale_ms is not None:
            gauges["stale_seconds"] = ("Age of the counters.", counters.stale_ms / 1000)
        for name, (text, value) in gauges.items():
            yield GaugeMetricFamily(f"formal_cluster_{name}", text, value=value)
        if status.cache is not None:
            yield from _cache_metrics(status.cache)


def _cache_metrics(cache: CacheStatus) -> Iterable[Metric]:
    if cache.stale_ms is not None:
        yield GaugeMetricFamily(
            "formal_cluster_cache_stale_seconds", "Age of the cache.", value=cache.stale_ms / 1000
        )
    for attribute, (name, text) in _CACHE_GAUGES.items():
        gauge = GaugeMetricFamily(f"formal_cluster_cache_{name}", text, labels=["namespace"])
        for namespace, its in cache.namespaces.items():
            gauge.add_metric([namespace], getattr(its, attribute))
        yield gauge
    for name, text in _CACHE_COUNTERS.items():
        counter = CounterMetricFamily(f"formal_cluster_cache_{name}", text, labels=["namespace"])
        for namespace, its in cache.namespaces.items():
            counter.add_metric([namespace], getattr(its, name))
        yield counter


_CACHE_GAUGES = {
    "entries": ("entries", "Entries held."),
    "size": ("bytes", "Bytes of keys and values held."),
    "unshared": ("unshared_entries", "Entries that wait for the store."),
}
_CACHE_COUNTERS = {
    "hits": "Reads that found an entry.",
    "misses": "Reads that found none.",
    "writes": "Entries written.",
    "evictions": "Entries deleted because of the namespace's limits.",
}
