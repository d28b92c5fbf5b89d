"""Where instances live: network namespaces joined by bridges, or plain loopback addresses.

In namespaces each instance has two networks: one that the instances share, which can be cut, and
one by which the recorder and the platform reach it all along, as a load balancer would.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from formal_cluster_store_etcd.member import launcher


class Ports(NamedTuple):
    """The same for every instance: no platform tells that one has others."""

    client: int
    peer: int
    api: int


class Place(NamedTuple):
    """Where one instance lives.

    Attributes:
        address: Its address among the instances.
        api: The address that its HTTP API listens on.
        prefix: The command that a program is run with to run there.
        number: Which place of its bed this is.
    """

    address: str
    api: str
    prefix: tuple[str, ...]
    number: int


class Bed(Protocol):
    """Places for instances, and the networks between them.

    Attributes:
        platform: The address that the platform's servers are reached at from every place.
    """

    platform: str
    ports: Ports

    def place(self) -> Place:
        """A new place."""

    def cut(self, *groups: Sequence[Place]) -> None:
        """Let the places reach only those of their own group; those not named, one another."""

    def heal(self) -> None:
        """Let all reach all."""

    def disk(self, path: Path, size: str) -> None:
        """Put a file system of that size at `path`."""

    def write_protect(self, path: Path, *, on: bool) -> None:
        """Let nothing be written to a file system made by `disk`, or again."""

    def close(self) -> None:
        """End what holds the places, and the file systems."""


class Loopback:
    """Loopback addresses in a subnet picked at random, with ports picked at random."""

    platform = "127.0.0.1"

    def __init__(self) -> None:
        subnet = f"127.{random.randrange(1, 255)}.{random.randrange(255)}"
        self._addresses = [f"{subnet}.{number}" for number in range(1, 40)]
        self._numbers = itertools.count()
        self.ports = _free_ports(self._addresses)

    def place(self) -> Place:
        """A new place."""
        number = next(self._numbers)
        address = self._addresses[number]
        return Place(address, address, (), number)

    def cut(self, *groups: Sequence[Place]) -> None:
        """Not possible here."""
        raise RuntimeError("networks cannot be cut without namespaces")

    def heal(self) -> None:
        """There is nothing to heal."""

    def disk(self, path: Path, size: str) -> None:
        """Not possible here."""
        raise RuntimeError("file systems cannot be mounted without namespaces")

    def write_protect(self, path: Path, *, on: bool) -> None:
        """Not possible here."""
        raise RuntimeError("file systems cannot be mounted without namespaces")

    def close(self) -> None:
        """There is nothing to end."""


class Namespaces:
    """Network namespaces, each held by a process, on bridges of the namespace that we are in."""

    platform = "10.92.0.1"
    ports = Ports(2379, 2380, 8181)
    _wire = "wire"
    _api = "api"

    def __init__(self) -> None:
        self._holders: list[subprocess.Popen[bytes]] = []
        self._cuts: list[str] = []
        self._disks: list[Path] = []
        for bridge in (self._wire, self._api):
            _ip("link", "add", "name", bridge, "type", "bridge")
            _ip("link", "set", bridge, "up")
        _ip("link", "set", "lo", "up")
        _ip("address", "add", f"{self.platform}/24", "dev", self._api)

    def place(self) -> Place:
        """A new place."""
        number = len(self._holders)
        holder = subprocess.Popen(
            [
                *(sys.executable, "-I", "-S", launcher.__file__, str(os.getpid()), "--"),
                *(_program("unshare"), "--net", "--", _program("sh"), "-c"),
                "echo; exec sleep infinity",
            ],
            stdout=subprocess.PIPE,
        )
        self._holders.append(holder)
        assert holder.stdout is not None
        holder.stdout.readline()  # It is in its namespace now.
        holder.stdout.close()
        inside = (_program("nsenter"), f"--net=/proc/{holder.pid}/ns/net", "--")
        address, api = f"10.91.0.{number + 2}", f"10.92.0.{number + 2}"
        for bridge, device, own in ((self._wire, "eth0", address), (self._api, "eth1", api)):
            port = f"{bridge}{number}"
            _ip(
                "link",
                "add",
                "name",
                port,
                "type",
                "veth",
                "peer",
                "name",
                device,
                "netns",
                str(holder.pid),
            )
            _ip("link", "set", port, "master", bridge, "up")
            _ip("address", "add", f"{own}/24", "dev", device, inside=inside)
            _ip("link", "set", device, "up", inside=inside)
        _ip("link", "set", "lo", "up", inside=inside)
        return Place(address, api, inside, number)

    def cut(self, *groups: Sequence[Place]) -> None:
        """Put each group on a bridge of its own."""
        for group in groups:
            bridge = f"cut{len(self._cuts)}"
            self._cuts.append(bridge)
            _ip("link", "add", "name", bridge, "type", "bridge")
            _ip("link", "set", bridge, "up")
            for place in group:
                _ip("link", "set", f"{self._wire}{place.number}", "master", bridge)

    def heal(self) -> None:
        """Put all on one bridge again."""
        for number in range(len(self._holders)):
            _ip("link", "set", f"{self._wire}{number}", "master", self._wire)
        for bridge in self._cuts:
            _ip("link", "delete", bridge)
        self._cuts.clear()

    def disk(self, path: Path, size: str) -> None:
        """Put a file system of that size at `path`."""
        path.mkdir()
        _mount(path, f"size={size}")
        self._disks.append(path)

    def write_protect(self, path: Path, *, on: bool) -> None:
        """Let nothing be written to a file system made by `disk`, or again."""
        _mount(path, "remount,ro" if on else "remount,rw")

    def close(self) -> None:
        """End the holders, and so the namespaces, and remove the bridges and file systems."""
        self.heal()
        for path in self._disks:
            subprocess.run([_program("umount"), "--lazy", str(path)], check=True)
        for number, holder in enumerate(self._holders):
            for bridge in (self._wire, self._api):
                # The kernel would do it some time after the last process has ended.
                _ip("link", "delete", f"{bridge}{number}")
            holder.kill()
            holder.wait()
        for bridge in (self._wire, self._api):
            _ip("link", "delete", bridge)


def _ip(*arguments: str, inside: Sequence[str] = ()) -> None:
    subprocess.run([*inside, _program("ip"), *arguments], check=True)


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise RuntimeError(f"the program {name} is not installed")
    return found


def _free_ports(addresses: Sequence[str]) -> Ports:
    """Three ports that are free on every one of the addresses."""
    ports: list[int] = []
    with contextlib.ExitStack() as stack:
        while len(ports) < 3:
            with contextlib.suppress(OSError):
                ports.append(_claim(addresses, stack))
    return Ports(*ports)


def _claim(addresses: Sequence[str], stack: contextlib.ExitStack) -> int:
    first, *others = addresses
    port: int = stack.enter_context(socket.create_server((first, 0))).getsockname()[1]
    for address in others:
        stack.enter_context(socket.create_server((address, port)))
    return port


def _mount(path: Path, options: str) -> None:
    subprocess.run([_program("mount"), "-t", "tmpfs", "-o", options, "none", str(path)], check=True)
