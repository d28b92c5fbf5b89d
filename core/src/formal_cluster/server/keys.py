"""What handlers find in the application."""

from __future__ import annotations

from aiohttp import web

from formal_cluster.cluster import Cluster
from formal_cluster.server.metrics import Metrics

CLUSTER: web.AppKey[Cluster] = web.AppKey("cluster", Cluster)
METRICS: web.AppKey[Metrics] = web.AppKey("metrics", Metrics)
