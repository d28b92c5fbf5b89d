"""Where members are reached: endpoints and URLs. Pure."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias
from urllib.parse import urlsplit

Scheme: TypeAlias = Literal["http", "https"]
"""`https` when `[store.etcd.tls]` is set: for the client and the peer port, everywhere."""


class Endpoint(NamedTuple):
    """Where a member serves clients. `host` is a name or an address, IPv6 without brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def member_url(scheme: Scheme, host: str, port: int) -> str:
    """`scheme://host:port`, with IPv6 addresses in brackets."""
    return f"{scheme}://{Endpoint(host, port)}"


@lru_cache(maxsize=1024)  # a store's status is read at every write to the counters' log
def endpoint_of(url: str) -> Endpoint:
    """The host and port of a member's URL.

    Raises:
        ValueError: It has none.
    """
    parts = urlsplit(url)
    if parts.hostname is None or parts.port is None:
        raise ValueError(f"{url!r} is not a URL with a host and a port")
    return Endpoint(parts.hostname, parts.port)
