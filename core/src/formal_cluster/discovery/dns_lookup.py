"""What one DNS name says: the only file that talks to dnspython's resolver.

dnspython follows CNAMEs, asks again over TCP when an answer was cut short, tries every resolver,
and applies the system's search list. Every failure is one of its `DNSException`s.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from dns.asyncresolver import Resolver
from dns.nameserver import Do53Nameserver
from dns.rdatatype import RdataType

from formal_cluster.model import Instance


@dataclass(frozen=True, slots=True)
class Findings:
    """The instances behind a name, and for how many seconds the answer is good."""

    instances: tuple[Instance, ...]
    ttl: float


def open_resolver(servers: Sequence[tuple[str, int]], timeout: float) -> Resolver:
    """A resolver that asks `servers`, or with none given the system's, for `timeout` seconds.

    Raises:
        NoResolverConfiguration: The system names no resolver.
    """
    resolver = Resolver(configure=not servers)
    if servers:
        resolver.nameservers = [Do53Nameserver(address, port) for address, port in servers]
    resolver.lifetime = timeout
    # Half of it for each try, so that one lost packet or dead resolver does not use it all up.
    resolver.timeout = timeout / 2
    return resolver


async def addresses(resolver: Resolver, name: str) -> Findings:
    """The A and AAAA records of `name`; an instance's id is its address.

    Both kinds must be answered, if only with "none of these": an address missing because half of
    the question failed would look like an instance that has gone.
    """
    answers = await resolver.resolve_name(name, search=True)
    found = sorted({ipaddress.ip_address(address) for address in answers.addresses()}, key=str)
    return Findings(
        tuple(Instance(ip.compressed, ip.compressed) for ip in found),
        ttl=min(answer.chaining_result.minimum_ttl for answer in answers.values()),
    )


async def services(resolver: Resolver, name: str) -> Findings:
    """The SRV records of `name`; an instance's id is `target:port`, the port its peer port."""
    answer = await resolver.resolve(name, RdataType.SRV, search=True)
    found = {
        (record.target.to_text(omit_final_dot=True), record.port)
        for record in answer
        if record.target.labels != (b"",)  # the target "." says: this service is not offered
    }
    return Findings(
        tuple(service(target, port) for target, port in sorted(found)),
        ttl=answer.chaining_result.minimum_ttl,
    )


def service(target: str, port: int) -> Instance:
    """The instance that an SRV record of `target` and `port` stands for."""
    return Instance(f"{target}:{port}", target, peer_port=port)
