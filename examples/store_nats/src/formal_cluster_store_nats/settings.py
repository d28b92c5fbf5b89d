"""The settings of the store: `[store.nats]`."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from formal_cluster.hookspecs import DriverSettings

_NAME = r"^[A-Za-z0-9_-]+$"


class NatsSettings(DriverSettings):
    """`[store.nats]`"""

    servers: tuple[str, ...] = Field(
        default=("nats://127.0.0.1:4222",), min_length=1, description="Where the servers are."
    )
    stream: str = Field(
        default="formal-cluster",
        pattern=_NAME,
        description="The JetStream stream, made if there is none; its subjects begin alike.",
    )
    replicas: int = Field(
        default=1, ge=1, le=5, description="On how many servers the stream is kept: 1, 3 or 5."
    )
    history_seconds: float = Field(
        default=600.0, gt=0, description="For how long superseded values are kept for watches."
    )
    timeout_seconds: float = Field(
        default=5.0,
        gt=0,
        description=(
            "How long an operation may take before it fails, in seconds. A server that has been "
            "silent for half of that is given up for another one."
        ),
    )
    credentials: Path | None = Field(
        default=None, description="A NATS credentials file, as `nsc` makes them (needs `nkeys`)."
    )
    ca: Path | None = Field(
        default=None, description="The authority of the servers' certificates; turns TLS on."
    )

    @property
    def needs_discovery(self) -> bool:
        """The servers are configured."""
        return False

    @model_validator(mode="after")
    def _replicas_make_a_majority(self) -> Self:
        if self.replicas % 2 == 0:
            raise ValueError(
                f"replicas is {self.replicas}; an even number outlives no more servers than the "
                f"odd one below it: set {self.replicas - 1} or {self.replicas + 1}"
            )
        return self
