"""Where members are reached: endpoints and URLs. Pure."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit


class Endpoint(NamedTuple):
    """Where a member serves clients. `host` is a name or an address, IPv6 without brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def http_url(host: str, port: int) -> str:
    """`http://host:port`, with IPv6 addresses in brackets."""
    return f"http://{Endpoint(host, port)}"


def endpoint_of(url: str) -> Endpoint:
    """The host and port of a member's URL.

    Raises:
        ValueError: It has none.
    """
    parts = urlsplit(url)
    if parts.hostname is None or parts.port is None:
        raise ValueError(f"{url!r} is not a URL with a host and a port")
    return Endpoint(parts.hostname, parts.port)
