"""What a Redis server says of itself, and whether a store may live there. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

_OLDEST_VERSION = (7, 0)


class Facts(NamedTuple):
    """A server that may serve.

    Attributes:
        run_id: Another one after each start of the server.
        keeps_acknowledged: Whether what it has acknowledged is there after a restart, and no copy
            that lacks it can take its place.
        replicas: Number of servers that follow it. One may be made its successor at any time,
            without the newest changes.
        warnings: What an operator should look after, with the mend.
    """

    run_id: str
    keeps_acknowledged: bool
    replicas: int
    warnings: tuple[str, ...]


class Unfit(Exception):
    """No store may live on this server. The message says why and what to do."""


def assess(info: Mapping[str, str], config: Mapping[str, str] | None) -> Facts:
    """Judge a server.

    Args:
        info: Its answer to INFO.
        config: Its settings `appendonly` and `appendfsync`; None if it does not tell.

    Raises:
        Unfit: No store may live there.
    """
    version = info.get("redis_version", "0")
    if tuple(int(part) for part in version.split(".")[:2]) < _OLDEST_VERSION:
        raise Unfit(f"it is Redis {version}: use 7.0 or newer")
    if info.get("cluster_enabled") == "1":
        raise Unfit("it runs in cluster mode, which this driver does not know: use a single server")
    if info.get("role") != "master":
        raise Unfit("it is a replica: point store.redis-test.url to the server it follows")
    policy = info.get("maxmemory_policy", "noeviction")
    if policy.startswith("allkeys"):
        raise Unfit(
            f"with maxmemory-policy {policy} it may drop the store at any time: set it to "
            "noeviction"
        )
    replicas = int(info.get("connected_slaves", "0"))
    warnings = []
    if replicas:
        warnings.append(
            "Redis has replicas, which lack the newest changes: if one takes its place, counters "
            "begin a new life. For a store that survives the loss of a server use etcd"
        )
    if config is None:
        warnings.append(
            "Redis does not tell how it persists, so a restart of it is taken as a loss: allow "
            "`config|get` to this user"
        )
    synced = config is not None and config == {"appendonly": "yes", "appendfsync": "always"}
    if config is not None and not synced:
        warnings.append(
            "a restart of Redis may lose acknowledged changes: set appendonly yes and appendfsync "
            "always"
        )
    return Facts(info["run_id"], synced and not replicas, replicas, tuple(warnings))


def parse_info(text: str) -> dict[str, str]:
    """The fields of an answer to INFO."""
    lines = (line.partition(":") for line in text.splitlines() if not line.startswith("#"))
    return {name: value for name, colon, value in lines if colon}
