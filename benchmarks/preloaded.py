"""What the process has done that instances are forked from: the slow part of starting one.

No threads and no connections are made here; a fork would not survive them.
"""

from __future__ import annotations

import importlib

from benchmarks.loads import LOADS, draws

_SLOW = (
    "benchmarks.fleet",
    "formal_cluster_store_etcd.external",
    "formal_cluster_store_etcd.plugin",
)
_INSTANCES = 3

for module in _SLOW:
    importlib.import_module(module)
for load in LOADS:
    for instance in range(_INSTANCES):
        draws(load, instance)
