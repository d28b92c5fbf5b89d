"""Discovery driver `dns`: the instances are the records of DNS names.

    [discovery.dns]
    names = ["connector.internal"]

DNS knows addresses, not processes. So an instance's id is its address (`record = "a"`) or its
`target:port` (`record = "srv"`), and a replacement at the same address looks like the instance it
replaced. A record proves that an instance is expected, not that it runs: every state but this
process's own is unknown. A missing record proves nothing at all, since answers are cached and
filtered by health checks: no view is ever complete, and nobody is removed because of DNS alone.

A name that does not exist, has no records, fails or times out is *unknown*, never "nobody there".
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

from dns.asyncresolver import Resolver
from dns.exception import DNSException

from formal_cluster.discovery import dns_lookup
from formal_cluster.discovery.dns_lookup import Findings
from formal_cluster.discovery.dns_settings import DnsSettings, parse_resolver, parse_self
from formal_cluster.discovery.health_log import HealthLog
from formal_cluster.discovery.local_address import is_local
from formal_cluster.discovery.polling import poll
from formal_cluster.discovery.views import described, view_of
from formal_cluster.errors import DiscoveryError, DiscoveryUnavailable
from formal_cluster.hookspecs import DiscoveryContext, DriverSettings, hookimpl
from formal_cluster.model import Instance, InstanceState, View
from formal_cluster.protocols import Discovery

_SHORTEST_INTERVAL_S = 1.0


class DnsDiscovery:
    """The records of the configured names."""

    def __init__(
        self, settings: DnsSettings, instance_id: str | None, logger: logging.Logger
    ) -> None:
        self._settings = settings
        self._instance_id = instance_id
        self._logger = logger
        self._servers = [parse_resolver(text) for text in settings.resolvers]
        self._health = {name: HealthLog(logger, name) for name in settings.names}
        self._ttl = settings.interval
        # Settled once: this process keeps its address, and must not lose itself to a DNS change.
        self._me: Instance | None = None
        if settings.self_address is not None:
            self._me = parse_self(settings.self_address, settings.record)

    async def identify(self) -> Instance:
        """The instance at `self_address`, else the only one found that is on this machine.

        Raises:
            DiscoveryUnavailable: DNS does not answer, or does not list this machine (yet).
            DiscoveryError: Several instances are on this machine, or instance.id is set to what
                the others cannot know from DNS. The message says what to set.
        """
        if self._me is None:
            self._me = await self._find_me()
        if self._instance_id not in {None, self._me.id}:
            raise DiscoveryError(
                f"instance.id is {self._instance_id!r}, but through DNS the others know this "
                f"instance as {self._me.id!r}; remove instance.id"
            )
        return replace(self._me, state=InstanceState.RUNNING)

    async def discover(self) -> View:
        """What DNS lists, and this process. Never complete.

        Raises:
            DiscoveryUnavailable: No name has usable records.
        """
        listed = await self._listed()
        if self._me is None:
            candidates = await self._candidates(listed)
            if len(candidates) == 1:
                self._me = candidates[0]
        return view_of(listed, me=self._me, complete=False)

    def watch(self) -> AsyncGenerator[View, None]:
        """A view at once and at each change, looked for when the records' TTL is over."""
        return poll(
            self.discover, source="dns", interval=self._until_next_look, logger=self._logger
        )

    async def aclose(self) -> None:
        """Nothing to release: each look-up has its own sockets."""

    def _until_next_look(self) -> float:
        return min(self._settings.interval, max(self._ttl, _SHORTEST_INTERVAL_S))

    async def _listed(self) -> list[Instance]:
        names = self._settings.names
        answers = await asyncio.gather(*(self._look_up(name) for name in names))
        findings: list[Findings] = []
        failures: list[str] = []
        for name, answer in zip(names, answers, strict=True):
            if isinstance(answer, Findings):
                self._health[name].answered()
                findings.append(answer)
            else:
                self._health[name].failed(answer)
                failures.append(f"{name}: {answer}")
        if not findings:
            raise DiscoveryUnavailable(
                f"no name in discovery.dns.names gives instances. {'; '.join(failures)}. "
                "Check the names, their records and the resolver"
            )
        self._ttl = min(finding.ttl for finding in findings)
        return list(dict.fromkeys(i for finding in findings for i in finding.instances))

    async def _look_up(self, name: str) -> Findings | str:
        """What the name says, or why that is not known."""
        look_up = dns_lookup.services if self._settings.record == "srv" else dns_lookup.addresses
        try:
            findings = await look_up(self._resolver(), name)
        except DNSException as error:
            return str(error)
        return findings if findings.instances else "its only record says: no such service"

    async def _find_me(self) -> Instance:
        listed = await self._listed()
        candidates = await self._candidates(listed)
        if len(candidates) == 1:
            return candidates[0]
        if candidates:
            raise DiscoveryError(
                f"several instances in DNS are on this machine: {described(candidates)}; "
                "set discovery.dns.self_address to the one that this process is"
            )
        raise DiscoveryUnavailable(
            f"none of the instances in DNS is on this machine: {described(listed)}; wait until "
            "this one is listed there, or set discovery.dns.self_address"
        )

    async def _candidates(self, listed: Sequence[Instance]) -> list[Instance]:
        named = [instance for instance in listed if instance.id == self._instance_id]
        return named or [instance for instance in listed if await self._is_here(instance)]

    async def _is_here(self, instance: Instance) -> bool:
        if is_local(instance.address):
            return True
        if self._settings.record == "a":
            return False
        try:
            target = await dns_lookup.addresses(self._resolver(), f"{instance.address}.")
        except DNSException as error:
            self._logger.debug(
                "SRV target does not resolve",
                extra={"target": instance.address, "reason": str(error)},
            )
            return False
        return any(is_local(found.address) for found in target.instances)

    def _resolver(self) -> Resolver:
        return dns_lookup.open_resolver(self._servers, self._settings.timeout)


@hookimpl
def discovery_settings() -> type[DriverSettings]:
    """The settings class of `[discovery.dns]`."""
    return DnsSettings


@hookimpl
def create_discovery(settings: DnsSettings, context: DiscoveryContext) -> Discovery:
    """Build the driver."""
    return DnsDiscovery(settings, context.instance_id, context.logger)
