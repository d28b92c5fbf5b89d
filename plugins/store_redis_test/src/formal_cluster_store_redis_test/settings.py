"""The settings of store driver `redis-test`."""

from __future__ import annotations

from pydantic import Field, SecretStr

from formal_cluster.hookspecs import DriverSettings


class RedisTestSettings(DriverSettings):
    """`[store.redis-test]`"""

    url: str = Field(
        default="redis://127.0.0.1:6379/0",
        pattern=r"^(redis|rediss|unix)://",
        description="The server, as redis://host:port/database, without a password.",
    )
    password: SecretStr | None = Field(default=None, description="The server's password.")
