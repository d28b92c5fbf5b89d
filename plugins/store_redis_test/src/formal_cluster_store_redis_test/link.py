"""One connection to Redis. The only module that imports the client library.

Used below the library's own pool, because that repeats a request whose connection broke, and a
write that is repeated may be applied twice.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, TypeAlias

from redis.asyncio.connection import Connection, SSLConnection
from redis.exceptions import RedisError, ResponseError

from formal_cluster_store_redis_test.scripts import Script
from formal_cluster_store_redis_test.settings import RedisTestSettings

Reply: TypeAlias = Any
"""What Redis answered: None, an int, bytes, or a list of these."""


class Lost(Exception):
    """The connection broke, could not be made, or said nothing in time."""


class Answered(Exception):
    """The server answered with an error: its text, the code first."""


class Link:
    """A connection, and whether it can be used again.

    Args:
        silence_s: Longest wait for an answer, seconds.

    Attributes:
        cluster: The store that was found there when the connection was made.
    """

    cluster: str = ""

    def __init__(
        self, settings: RedisTestSettings, keys: tuple[bytes, ...], *, silence_s: float
    ) -> None:
        server = settings.server
        options: dict[str, Any] = {
            "host": server.host,
            "port": server.port,
            "db": server.database,
            "username": server.username,
            "password": settings.password.get_secret_value() if settings.password else None,
            # Its own time-outs may swallow a cancellation (asyncio.wait_for before Python 3.12).
            "socket_connect_timeout": None,
            "socket_timeout": None,
            "protocol": 2,
            "driver_info": None,
        }
        if server.tls and settings.tls is not None:
            for name, path in (
                ("ssl_ca_certs", settings.tls.ca),
                ("ssl_certfile", settings.tls.certificate),
                ("ssl_keyfile", settings.tls.key),
            ):
                options[name] = None if path is None else str(path)
        self._connection: Final = (SSLConnection if server.tls else Connection)(**options)
        self._keys: Final = keys
        self._silence_s = silence_s
        self._unread = 0

    async def connect(self) -> None:
        """Make the connection, and log in. The caller limits the time.

        Raises:
            Lost: The server was not reached.
            Answered: It does not let us in.
        """
        try:
            await self._connection.connect()  # type: ignore[no-untyped-call]
        except (RedisError, OSError) as error:
            raise _explained(error) from error

    async def call(self, *command: bytes | str | int) -> Reply:
        """Send a command and return the answer.

        Raises:
            Lost: Whether it was carried out is not known.
            Answered: It was refused.
        """
        await self.send(*command)
        return await self.receive()

    async def run(self, script: Script, *arguments: bytes | str | int) -> Reply:
        """Run a script and return its answer. The server is told the script if it lacks it.

        Raises: as `call`.
        """
        try:
            await self.send_script(script, *arguments)
            return await self.receive()
        except Answered as refusal:
            if not str(refusal).startswith("NOSCRIPT"):
                raise
        return await self.call("EVAL", script.source, len(self._keys), *self._keys, *arguments)

    async def send_script(self, script: Script, *arguments: bytes | str | int) -> None:
        """Send a script that the server knows already; `receive` its answer.

        Raises: as `send`.
        """
        await self.send("EVALSHA", script.sha, len(self._keys), *self._keys, *arguments)

    async def send(self, *command: bytes | str | int) -> None:
        """Send a command. Its answer has to be received, in the order of sending.

        Raises:
            Lost: Perhaps it was sent.
        """
        if not self._connection.is_connected:
            raise Lost("the connection was closed")
        self._unread += 1
        try:
            async with asyncio.timeout(self._silence_s):
                await self._connection.send_command(*command)
        except TimeoutError:
            raise Lost(f"it took no request for {self._silence_s:g} s") from None
        except (RedisError, OSError) as error:
            raise _explained(error) from error

    async def receive(self) -> Reply:
        """The next answer.

        Raises: as `call`.
        """
        try:
            async with asyncio.timeout(self._silence_s):
                reply = await self._connection.read_response()
        except TimeoutError:
            raise Lost(f"no answer for {self._silence_s:g} s") from None
        except ResponseError as error:
            self._unread -= 1
            raise _explained(error) from error
        except (RedisError, OSError) as error:
            raise _explained(error) from error
        self._unread -= 1
        return reply

    async def is_fresh(self) -> bool:
        """Whether it can take a request: every answer was read, and the server has not hung up."""
        if self._unread or not self._connection.is_connected:
            return False
        try:
            return not await self._connection.can_read()
        except (RedisError, OSError):
            return False

    async def close(self) -> None:
        """Hang up; whoever waits for an answer gets `Lost`. Idempotent."""
        await self._connection.disconnect(nowait=True)


def _explained(error: Exception) -> Lost | Answered:
    code = getattr(error, "status_code", None)
    if code is not None:
        return Answered(f"{code} {error}")
    if isinstance(error, ResponseError):
        return Answered(str(error))
    return Lost(str(error) or repr(error))
