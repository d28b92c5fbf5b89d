"""Members' URLs and the endpoints they stand for. Pure."""

from __future__ import annotations

from urllib.parse import urlsplit

from formal_cluster_store_etcd.endpoints import Endpoint


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
