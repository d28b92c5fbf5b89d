"""Discovery driver `static`: the instances are listed in the configuration.

    [discovery.static]
    self = "a"
    instances = [
      { id = "a", address = "10.0.0.1" },
      { id = "b", address = "10.0.0.2" },
    ]

The list says who is meant to exist, so it is complete. It vouches for nobody: a listed peer may
be up, down or not yet installed, and its state is always unknown. The file can be the same on all
machines: where `self` is left out, the instance whose address belongs to the machine is meant.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from formal_cluster.discovery.local_address import is_local
from formal_cluster.discovery.views import described, view_of
from formal_cluster.errors import DiscoveryError
from formal_cluster.hookspecs import DiscoveryContext, DriverSettings, hookimpl
from formal_cluster.model import Instance, InstanceState, View
from formal_cluster.protocols import Discovery


def _host(address: str) -> str:
    """An IP address in its shortest form, or a host name."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        if not address or any(char in ":/ " for char in address):
            raise ValueError(
                f"{address!r} is neither an IP address nor a host name; "
                "ports belong into client_port and peer_port"
            ) from None
        return address
    if ip.is_unspecified or ip.is_multicast:
        raise ValueError(f"no instance can be reached at {address!r}; give its own address")
    return ip.compressed


Port = Annotated[int, Field(ge=1, le=65_535)]


class StaticInstance(BaseModel):
    """One entry of `discovery.static.instances`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(min_length=1, description="The instance's id, unique in the list.")
    address: Annotated[str, AfterValidator(_host)] = Field(
        description="IP address or host name that the other instances reach it at, without a port."
    )
    client_port: Port | None = Field(
        default=None, description="Its state server's client port. Default: the store's setting."
    )
    peer_port: Port | None = Field(default=None, description="Likewise the peer port.")
    zone: str | None = Field(default=None, description="Its availability zone.")

    def to_instance(self) -> Instance:
        """The entry as a value of the contract."""
        return Instance(
            self.id,
            self.address,
            client_port=self.client_port,
            peer_port=self.peer_port,
            zone=self.zone,
        )


class StaticSettings(DriverSettings):
    """`[discovery.static]`"""

    self_id: str | None = Field(
        default=None,
        alias="self",
        description="The id of the instance that this process is. Default: instance.id, else the "
        "only listed instance whose address belongs to this machine.",
    )
    instances: tuple[StaticInstance, ...] = Field(
        min_length=1, description="All instances, this one included."
    )

    @model_validator(mode="after")
    def _check_list(self) -> StaticSettings:
        ids = Counter(instance.id for instance in self.instances)
        twice = [id_ for id_, count in ids.items() if count > 1]
        if twice:
            raise ValueError(f"instances: id {twice[0]!r} is listed twice")
        seen: dict[tuple[str, str, int | None], str] = {}
        for instance in self.instances:
            for port in ("client_port", "peer_port"):
                place = (instance.address.lower(), port, getattr(instance, port))
                other = seen.setdefault(place, instance.id)
                if other != instance.id:
                    raise ValueError(
                        f"instances {other!r} and {instance.id!r} have the same address "
                        f"{instance.address} and {port}; two instances on one machine need "
                        "different client and peer ports"
                    )
        if self.self_id is not None and self.self_id not in ids:
            raise ValueError(
                f"self = {self.self_id!r} is none of the listed instances: {', '.join(ids)}"
            )
        return self


class StaticDiscovery:
    """The configured list."""

    def __init__(self, settings: StaticSettings, instance_id: str | None) -> None:
        self._instances = tuple(entry.to_instance() for entry in settings.instances)
        self._self = settings.self_id
        self._instance_id = instance_id

    async def identify(self) -> Instance:
        """The listed instance that this process is.

        Raises:
            DiscoveryError: The list does not tell; the message says what to set.
        """
        if self._self and self._instance_id and self._self != self._instance_id:
            raise DiscoveryError(
                f"discovery.static.self is {self._self!r} but instance.id is "
                f"{self._instance_id!r}; remove one of them"
            )
        found = self._candidates()
        if len(found) == 1:
            return replace(found[0], state=InstanceState.RUNNING)
        if self._instance_id is not None:
            raise DiscoveryError(
                f"instance.id {self._instance_id!r} is not listed in discovery.static.instances: "
                f"{described(self._instances)}"
            )
        raise DiscoveryError(
            "which of discovery.static.instances is this process? "
            + (
                f"Several have an address of this machine: {described(found)}."
                if found
                else f"None has an address of this machine: {described(self._instances)}."
            )
            + " Set discovery.static.self, or instance.id, to its id"
        )

    async def discover(self) -> View:
        """The list. A process that is not on it (see `identify`) is not added."""
        found = self._candidates()
        me = found[0] if len(found) == 1 else None
        return view_of(self._instances, me=me, complete=True)

    async def watch(self) -> AsyncGenerator[View, None]:
        """The list, once: it cannot change while the process runs."""
        yield await self.discover()
        await asyncio.Event().wait()

    async def aclose(self) -> None:
        """Nothing to release."""

    def _candidates(self) -> list[Instance]:
        name = self._self or self._instance_id
        if name is not None:
            return [instance for instance in self._instances if instance.id == name]
        return [instance for instance in self._instances if is_local(instance.address)]


@hookimpl
def discovery_settings() -> type[DriverSettings]:
    """The settings class of `[discovery.static]`."""
    return StaticSettings


@hookimpl
def create_discovery(settings: StaticSettings, context: DiscoveryContext) -> Discovery:
    """Build the driver."""
    return StaticDiscovery(settings, context.instance_id)
