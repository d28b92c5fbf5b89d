"""What one task, as DescribeTasks describes it, means for an instance. Pure.

Of a task's two states only `lastStatus` counts: `desiredStatus` is what ECS wants, and proves
nothing about what runs.

    lastStatus                              instance
    PROVISIONING, PENDING, ACTIVATING       starting
    RUNNING, DEACTIVATING, STOPPING         running: it may still write, and must still be asked
    DEPROVISIONING                          unknown: on its way, nobody vouches yet
    STOPPED                                 stopped, unless it was orphaned (see below)
    anything else                           unknown

`connectivity = DISCONNECTED` means that the host's agent is away, so that what ECS knows of a
living task is old: unknown. A task of an EC2 host that was deregistered by force is reported as
stopped while its containers run on, unsupervised: unknown too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from formal_cluster.model import InstanceState
from formal_cluster_discovery_ecs.metadata import preferred

if TYPE_CHECKING:
    import datetime

Document = Mapping[str, Any]

_STATES = {
    "PROVISIONING": InstanceState.STARTING,
    "PENDING": InstanceState.STARTING,
    "ACTIVATING": InstanceState.STARTING,
    "RUNNING": InstanceState.RUNNING,
    "DEACTIVATING": InstanceState.RUNNING,
    "STOPPING": InstanceState.RUNNING,
    "STOPPED": InstanceState.STOPPED,
}
_ORPHANED = "container instance deregistration forced"


@dataclass(frozen=True, slots=True)
class Task:
    """One task at one moment.

    Attributes:
        address: Where the others reach it; None while ECS does not (or no longer) tell.
        version: Grows with every change of the task, so that an old answer can be told.
        created_at: Seconds since the Unix epoch. Not when its containers ran: that comes later,
            and all instances have to see the same time from the beginning.
        generation: Its task definition as family:revision.
        health: What the containers' health checks say, for the log.
        stop_reason: Why it stopped or is being stopped, for the log.
    """

    arn: str
    state: InstanceState
    address: str | None = None
    version: int = 0
    created_at: float | None = None
    zone: str | None = None
    generation: str | None = None
    health: str | None = None
    stop_reason: str | None = None


def parse(document: Document) -> Task:
    """A task from one entry of DescribeTasks' `tasks`."""
    return Task(
        arn=document["taskArn"],
        state=_state(document),
        address=preferred(_addresses(document)),
        version=document.get("version", 0),
        created_at=_seconds(document.get("createdAt")),
        zone=document.get("availabilityZone"),
        generation=document.get("taskDefinitionArn", "").rpartition("/")[2] or None,
        health=document.get("healthStatus"),
        stop_reason=_stop_reason(document),
    )


def _state(document: Document) -> InstanceState:
    state = _STATES.get(document.get("lastStatus", ""), InstanceState.UNKNOWN)
    if state is InstanceState.STOPPED:
        was_orphaned = _ORPHANED in document.get("stoppedReason", "").lower()
        return InstanceState.UNKNOWN if was_orphaned else state
    if document.get("connectivity") == "DISCONNECTED":
        return InstanceState.UNKNOWN
    return state


def _addresses(document: Document) -> Iterator[str]:
    """Those of its network interface, first as its attachment, then as its containers have it."""
    for attachment in document.get("attachments", ()):
        if attachment.get("type") == "ElasticNetworkInterface":
            for detail in attachment.get("details", ()):
                if detail.get("name") in {"privateIPv4Address", "ipv6Address"}:
                    yield detail.get("value", "")
    for container in document.get("containers", ()):
        for interface in container.get("networkInterfaces", ()):
            yield interface.get("privateIpv4Address", "")
            yield interface.get("ipv6Address", "")


def _seconds(moment: datetime.datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


def _stop_reason(document: Document) -> str | None:
    parts = [document.get("stopCode"), document.get("stoppedReason")]
    return ": ".join(part for part in parts if part) or None
