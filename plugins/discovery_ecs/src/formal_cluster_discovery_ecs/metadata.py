"""What a task metadata document (endpoint version 4) says about this task. Pure.

Only tasks in network mode `awsvpc` can be instances: there each task has a network interface with
an address of its own. In `bridge` mode the ports 2379 and 2380 are those of the host, mapped or
not, and in `host` mode two tasks on one host collide; in neither does ECS tell the others an
address at which this task's ports can be reached.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from formal_cluster.errors import DiscoveryError, DiscoveryUnavailable
from formal_cluster.model import Instance, InstanceState

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TaskMetadata:
    """This task.

    Attributes:
        cluster: Name or ARN of its cluster.
        service: Name of its service; None for a task of no service, or where an old agent does
            not tell.
        clock_error_bound_ms: By how many milliseconds the host's clock may be off; None if the
            platform does not vouch for it.
    """

    arn: str
    cluster: str
    family: str
    revision: str
    address: str
    service: str | None = None
    zone: str | None = None
    clock_error_bound_ms: float | None = None

    @property
    def region(self) -> str:
        """The region that the task runs in."""
        return self.arn.split(":")[3]

    @property
    def cluster_arn(self) -> str:
        """The ARN of the task's cluster."""
        if self.cluster.startswith("arn:"):
            return self.cluster
        prefix = self.arn.rsplit(":", 1)[0]
        return f"{prefix}:cluster/{self.cluster}"

    @property
    def instance(self) -> Instance:
        """This task as an instance, as far as it knows itself without asking ECS."""
        return Instance(
            self.arn,
            self.address,
            InstanceState.RUNNING,
            zone=self.zone,
            generation=f"{self.family}:{self.revision}",
        )


def parse(document: Document) -> TaskMetadata:
    """This task, from the document at `${ECS_CONTAINER_METADATA_URI_V4}/task`.

    Raises:
        DiscoveryUnavailable: The document is not complete yet.
        DiscoveryError: The task's network mode is not supported.
    """
    lacking = [key for key in ("Cluster", "TaskARN", "Family", "Revision") if not document.get(key)]
    if lacking:
        raise DiscoveryUnavailable(f"the task metadata do not have {', '.join(lacking)}")
    return TaskMetadata(
        arn=document["TaskARN"],
        cluster=document["Cluster"],
        family=document["Family"],
        revision=document["Revision"],
        address=_address(document),
        service=document.get("ServiceName") or None,
        zone=document.get("AvailabilityZone") or None,
        clock_error_bound_ms=clock_error_bound_ms(document),
    )


def clock_error_bound_ms(document: Document) -> float | None:
    """How far the clock may be off, if the platform keeps it synchronized and says so."""
    drift = document.get("ClockDrift") or {}
    if drift.get("ClockSynchronizationStatus") != "SYNCHRONIZED":
        return None
    bound = drift.get("ClockErrorBound")
    return None if bound is None else float(bound)


def preferred(addresses: Iterable[str]) -> str | None:
    """The address by which instances reach each other: the first IPv4 one, else the first IPv6.

    Every instance has to choose alike, for itself and for the others, or they would not recognize
    each other's member addresses.
    """
    usable = [ip for ip in map(_parsed, addresses) if ip is not None and not ip.is_link_local]
    return next((ip.compressed for ip in sorted(usable, key=lambda ip: ip.version)), None)


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(address)
    except ValueError:
        return None


def _address(document: Document) -> str:
    networks = [
        network
        for container in document.get("Containers") or ()
        for network in container.get("Networks") or ()
    ]
    modes = {network.get("NetworkMode") for network in networks}
    if modes and "awsvpc" not in modes:
        raise DiscoveryError(
            f"this task's network mode is {'/'.join(sorted(map(str, modes)))} "
            f"(launch type {document.get('LaunchType', 'not known')}); discovery driver 'ecs' "
            "needs awsvpc, where each task has an address of its own at which the others reach "
            'ports 2379 and 2380. Set networkMode = "awsvpc" in the task definition, or use '
            "discovery driver 'static' or 'dns'"
        )
    address = preferred(
        address
        for network in networks
        if network.get("NetworkMode") == "awsvpc"
        for key in ("IPv4Addresses", "IPv6Addresses")
        for address in network.get(key) or ()
    )
    if address is None:
        raise DiscoveryUnavailable("the task metadata do not name the task's address")
    return address
