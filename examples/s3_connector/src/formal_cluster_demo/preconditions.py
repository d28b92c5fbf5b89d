"""What must hold before anything is started, each with the mend."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from ipaddress import AddressValueError, IPv4Address
from pathlib import Path

from formal_cluster_store_etcd.member.binary import search
from formal_cluster_store_etcd.member.failures import CannotStart

ETCD_PORTS = (2379, 2380)
_LISTENING = "0A"


def problems(addresses: Sequence[str]) -> list[str]:
    """Why the demonstration cannot run here; empty when it can."""
    if sys.platform != "linux":
        return ["the demonstration needs Linux: it binds 127.0.0.2 and reads /proc"]
    return [*_etcd_problems(), *_address_problems(addresses)]


def _etcd_problems() -> Iterator[str]:
    try:
        search(None)
    except CannotStart as error:
        yield str(error)


def _address_problems(addresses: Sequence[str]) -> Iterator[str]:
    if len(addresses) != 3 or len(set(addresses)) != 3:
        yield f"--addresses takes three different addresses, not {','.join(addresses)}"
        return
    for address in addresses:
        try:
            ip = IPv4Address(address)
        except AddressValueError:
            yield f"--addresses: {address!r} is not an IPv4 address"
            continue
        if not ip.is_loopback:
            yield f"--addresses: {address} is not a loopback address (127.0.0.0/8)"
            continue
        for port in ETCD_PORTS:
            yield from _port_problems(address, port)


def _port_problems(address: str, port: int) -> Iterator[str]:
    try:
        socket.create_server((address, port)).close()
    except OSError as error:
        why = os.strerror(error.errno or 0)
        if error.errno == errno.EADDRINUSE:
            why = f"{holder_of(address, port) or 'another process'} holds it; end that process"
        yield (
            f"cannot listen on {address} port {port}: {why} "
            "or choose others with --addresses 127.0.1.1,127.0.1.2,127.0.1.3"
        )


def holder_of(address: str, port: int) -> str | None:
    """The process that listens there, as far as this user may know."""
    sockets = {Path(f"socket:[{inode}]") for inode in _listening_inodes(address, port)}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(PermissionError, FileNotFoundError, ProcessLookupError):
            if any(_link(fd) in sockets for fd in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
    return None


def _link(fd: Path) -> Path | None:
    try:
        return fd.readlink()
    except FileNotFoundError:
        return None  # closed meanwhile


def _listening_inodes(address: str, port: int) -> Iterator[str]:
    own = IPv4Address(address).packed[::-1].hex().upper()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            host, _, hex_port = fields[1].partition(":")
            here = host == own or not host.strip("0")
            if here and int(hex_port, 16) == port and fields[3] == _LISTENING:
                yield fields[9]
