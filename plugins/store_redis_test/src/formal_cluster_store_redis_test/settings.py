"""The settings of store driver `redis-test`, each documented where it is declared."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Self
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from formal_cluster.hookspecs import DriverSettings


class Server(NamedTuple):
    """What `url` says."""

    host: str
    port: int
    database: int
    username: str | None
    tls: bool

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class TlsSettings(BaseModel):
    """`[store.redis-test.tls]`: for a URL that begins with rediss. Files are PEM."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ca: Path | None = Field(
        default=None,
        description="Certificates of authorities that are trusted besides those of the system.",
    )
    certificate: Path | None = Field(
        default=None, description="This client's certificate, if the server asks for one."
    )
    key: Path | None = Field(
        default=None, description="The certificate's private key, not encrypted."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together: set both")
        return self


class RedisTestSettings(DriverSettings):
    """`[store.redis-test]`"""

    url: str = Field(
        default="redis://127.0.0.1:6379/0",
        pattern=r"^rediss?://",
        description="The server, as redis://user@host:port/database, rediss with TLS; user and "
        "database may be left out. Without a password.",
    )
    password: SecretStr | None = Field(default=None, description="The server's password.")
    tls: TlsSettings | None = Field(
        default=None, description="Certificates, for a URL that begins with rediss."
    )
    key_prefix: str = Field(
        default="formal-cluster:",
        min_length=1,
        description="What the names of this store's seven Redis keys begin with. Two stores in one "
        "database need different ones.",
    )
    history_changes: int = Field(
        default=100_000,
        ge=1,
        description="Most changes kept for watches. One that falls further behind has to list "
        "again.",
    )
    history_s: float = Field(
        default=600.0, gt=0, description="Changes older than this are forgotten, seconds."
    )
    timeout_s: float = Field(
        default=2.0,
        gt=0,
        description="Longest time for one request, and for making a connection, seconds.",
    )
    connections: int = Field(
        default=32, ge=1, description="Most requests under way at a time; more wait for their turn."
    )

    @property
    def needs_discovery(self) -> bool:
        """The server is found at `url`."""
        return False

    @property
    def server(self) -> Server:
        """`url`, taken apart."""
        parts = urlsplit(self.url)
        return Server(
            parts.hostname or "",
            parts.port or 6379,
            int(parts.path.strip("/") or 0),
            unquote(parts.username) if parts.username else None,
            parts.scheme == "rediss",
        )

    @model_validator(mode="after")
    def _check(self) -> Self:
        parts = urlsplit(self.url)
        if parts.password is not None:
            raise ValueError("url contains a password, which would be shown: set password instead")
        if not parts.hostname or parts.query or parts.fragment:
            raise ValueError("url is not like redis://host:6379/0")
        if not (parts.path.strip("/") or "0").isdecimal():
            raise ValueError("url: the database is a number, as in redis://host:6379/0")
        try:
            _ = parts.port
        except ValueError as error:
            raise ValueError(f"url: {error}") from error
        if self.tls is not None and parts.scheme != "rediss":
            raise ValueError("tls is set, but url does not begin with rediss: change one of them")
        return self
