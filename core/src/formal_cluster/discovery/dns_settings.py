"""The settings of discovery driver `dns`, and the notations in them."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal

import dns.exception
import dns.name
from pydantic import AfterValidator, Field, model_validator

from formal_cluster.discovery.dns_lookup import service
from formal_cluster.hookspecs import DriverSettings
from formal_cluster.model import Instance

_DNS_PORT = 53


def split_port(text: str) -> tuple[str, int | None]:
    """`host`, `host:port`, an IPv6 address or `[address]:port` as host and port.

    Raises:
        ValueError: It is none of these.
    """
    host, colon, port = text.rpartition(":")
    if not colon or (":" in host and not host.endswith("]")):
        host, port = text, ""
    elif not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
        raise ValueError(f"{port!r} in {text!r} is not a port number")
    host = host.removeprefix("[").removesuffix("]")
    if not host:
        raise ValueError(f"{text!r} names no host")
    return host, int(port) if port else None


def parse_resolver(text: str) -> tuple[str, int]:
    """A resolver's address and port.

    Raises:
        ValueError: It is not an IP address with an optional port.
    """
    host, port = split_port(text)
    return ipaddress.ip_address(host).compressed, port or _DNS_PORT


def parse_self(text: str, record: Literal["a", "srv"]) -> Instance:
    """This process's own instance from `self_address`.

    Raises:
        ValueError: Not an IP address (record a) or not `target:port` (record srv).
    """
    if record == "a":
        address = ipaddress.ip_address(text).compressed
        return Instance(address, address)
    target, port = split_port(text)
    if port is None:
        raise ValueError(f'self_address {text!r} must be "target:port" with record = "srv"')
    return service(target.removesuffix("."), port)


def _checked_name(name: str) -> str:
    try:
        dns.name.from_text(name)
    except dns.exception.DNSException as error:
        raise ValueError(f"{name!r} is not a DNS name: {error}") from error
    return name


def _checked_resolver(text: str) -> str:
    parse_resolver(text)
    return text


class DnsSettings(DriverSettings):
    """`[discovery.dns]`"""

    names: tuple[Annotated[str, AfterValidator(_checked_name)], ...] = Field(
        min_length=1,
        description="Names whose records together are the instances. The system's search list "
        "applies unless a name ends with a dot.",
    )
    record: Literal["a", "srv"] = Field(
        default="a",
        description="a: the names' A and AAAA records; srv: their SRV records, whose ports are "
        "the peer ports.",
    )
    self_address: str | None = Field(
        default=None,
        description='This instance\'s own IP address (record = "a") or "target:port" '
        '(record = "srv"). Default: the only one found in DNS that belongs to this machine.',
    )
    resolvers: tuple[Annotated[str, AfterValidator(_checked_resolver)], ...] = Field(
        default=(),
        description="DNS servers to ask: IP addresses with an optional port. Default: the "
        "system's. With servers given here the system's search list does not apply.",
    )
    timeout: float = Field(
        default=5.0, gt=0, description="Seconds that looking up one name may take."
    )
    interval: float = Field(
        default=10.0,
        gt=0,
        description="Longest time between two looks, in seconds. Records with a shorter TTL are "
        "looked up again when it is over, at most once a second.",
    )

    @model_validator(mode="after")
    def _check_self(self) -> DnsSettings:
        if self.self_address is not None:
            parse_self(self.self_address, self.record)
        return self
