"""The command line that etcd is started with. Pure.

Flags that came, went or were renamed since 3.4 are used as the program knows them.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from formal_cluster_store_etcd.member.binary import Binary
from formal_cluster_store_etcd.settings import EtcdSettings, TlsSettings
from formal_cluster_store_etcd.urls import Scheme, member_url

_KEPT_VARIABLE: Final = "ETCD_UNSUPPORTED_ARCH"
_FIRST_KNOWN: Final = (
    (
        ("experimental-initial-corrupt-check", "true"),
        ("feature-gates", "InitialCorruptCheck=true"),  # both at once are refused
    ),
    (("enable-v2", "false"),),
)


@dataclass(frozen=True, slots=True)
class Member:
    """The member that etcd is to be.

    Attributes:
        address: Where the other instances reach it.
        listen: The address to listen on.
        scheme: Of its URLs.
    """

    name: str
    address: str
    listen: str
    client_port: int
    peer_port: int
    scheme: Scheme

    @property
    def client_url(self) -> str:
        """The URL others reach its client port at."""
        return member_url(self.scheme, self.address, self.client_port)

    @property
    def peer_url(self) -> str:
        """The URL others reach its peer port at."""
        return member_url(self.scheme, self.address, self.peer_port)


def command_line(
    binary: Binary,
    settings: EtcdSettings,
    member: Member,
    initial_cluster: Mapping[str, str] | None,
) -> tuple[str, ...]:
    """The program and its arguments.

    Args:
        initial_cluster: Names and peer URLs of the cluster to join, this member among them; None
            to found a new one. etcd ignores it once the data directory holds data.
    """
    cluster = {member.name: member.peer_url} if initial_cluster is None else initial_cluster
    flags = {
        "name": member.name,
        "data-dir": str(settings.data_dir),
        "listen-client-urls": member_url(member.scheme, member.listen, member.client_port),
        "listen-peer-urls": member_url(member.scheme, member.listen, member.peer_port),
        "advertise-client-urls": member.client_url,
        "initial-advertise-peer-urls": member.peer_url,
        "initial-cluster": ",".join(f"{name}={url}" for name, url in cluster.items()),
        "initial-cluster-state": "new" if initial_cluster is None else "existing",
        # A new token for every founding: two clusters at the same addresses never share an id.
        "initial-cluster-token": secrets.token_hex(16),
        "strict-reconfig-check": "true",
        "pre-vote": "true",
        "heartbeat-interval": str(settings.heartbeat_ms),
        "election-timeout": str(settings.election_ms),
        "quota-backend-bytes": str(settings.quota_backend_bytes),
        "auto-compaction-mode": "periodic",
        "auto-compaction-retention": f"{settings.auto_compaction_minutes}m",
        "logger": "zap",
        "log-outputs": "stderr",
    }
    if settings.tls is not None:
        flags.update(_tls(settings.tls, binary))
    for spellings in _FIRST_KNOWN:
        flags.update([s for s in spellings if s[0] in binary.flags][:1])
    return (str(binary.path), *(f"--{flag}={value}" for flag, value in flags.items()))


def _tls(files: TlsSettings, binary: Binary) -> dict[str, str]:
    """TLS with certificates on both sides, on both ports."""
    flags = {
        f"{port}{flag}": value
        for port in ("", "peer-")
        for flag, value in (
            ("cert-file", str(files.certificate)),
            ("key-file", str(files.key)),
            ("trusted-ca-file", str(files.ca)),
            ("client-cert-auth", "true"),
        )
    }
    if "tls-min-version" in binary.flags:
        flags["tls-min-version"] = "TLS1.2"
    return flags


def environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """The environment for etcd: without `ETCD_…`, which etcd would read as settings of its own."""
    return {
        name: value
        for name, value in inherited.items()
        if not name.startswith("ETCD_") or name == _KEPT_VARIABLE
    }
