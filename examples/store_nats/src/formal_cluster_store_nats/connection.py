"""A connection to one NATS server, for as long as it lasts: it is never repaired, but replaced.

So nothing that was handed to a connection is sent after its end, over another one.
"""

from __future__ import annotations

import asyncio
import json
import math
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from formal_cluster.errors import Unavailable
from formal_cluster_store_nats.answers import document_of
from formal_cluster_store_nats.settings import NatsSettings

_CLOSE_S = 1.0


class ConnectionLost(Exception):
    """There is no connection, or it is of no use any more."""


class Connection:
    """A connection that stands. Made by `connect`."""

    def __init__(self, client: Client, timeout_s: float) -> None:
        self._client = client
        self._timeout_s = timeout_s
        self.lost = asyncio.Event()

    @property
    def largest(self) -> int:
        """The largest message that the server takes, bytes, headers included."""
        return self._client.max_payload

    async def request(self, subject: str, document: Mapping[str, Any], *, what: str) -> Any:
        """An answer of JetStream's API.

        Raises:
            ApiError: The answer is an error.
            ConnectionLost: There is none.
        """
        try:
            message = await self._client.request(
                f"$JS.API.{subject}", json.dumps(document).encode(), timeout=self._timeout_s
            )
            return document_of(message.data, what=what)
        except (NatsError, OSError, TimeoutError, ValueError) as error:
            raise ConnectionLost(f"JetStream did not {what}: {error!r}") from error

    async def publish(
        self, subject: str, data: bytes, headers: dict[str, str], answer_to: str
    ) -> None:
        """Send a message; its answer comes to the subject `answer_to`.

        Raises:
            Unavailable: It was not sent.
        """
        try:
            await self._client.publish(subject, data, reply=answer_to, headers=headers)
        except (NatsError, OSError) as error:
            raise Unavailable(f"there is no connection to NATS: {error!r}") from error

    async def subscribe(self, subject: str, take: Callable[[Msg], Awaitable[None]]) -> None:
        """Hand messages to `take` one after the other, until the connection ends.

        Raises:
            ConnectionLost: The server does not answer.
        """
        try:
            await self._client.subscribe(
                subject, cb=take, pending_msgs_limit=0, pending_bytes_limit=0
            )
            await self._client.flush(timeout=math.ceil(self._timeout_s))
        except (NatsError, OSError, TimeoutError) as error:
            raise ConnectionLost(f"NATS did not take a subscription: {error!r}") from error

    async def answer(self, subject: str) -> None:
        """Send an empty message.

        Raises:
            ConnectionLost: It was not sent.
        """
        try:
            await self._client.publish(subject)
        except (NatsError, OSError) as error:
            raise ConnectionLost(f"NATS cannot be answered: {error!r}") from error

    def new_inbox(self) -> str:
        """A subject of this connection's own."""
        return self._client.new_inbox()


@asynccontextmanager
async def connect(settings: NatsSettings, name: str) -> AsyncGenerator[Connection, None]:
    """Connect to one of the servers, any.

    Raises:
        ConnectionLost: None answered, or the one that was asked first did not.
    """
    client = Client()
    connection = Connection(client, settings.timeout_seconds)
    half_s = math.ceil(settings.timeout_seconds / 2)

    async def closed() -> None:
        connection.lost.set()

    async def failed(_: Exception) -> None:
        """The library would log it; what matters is told by who waits for an answer."""

    try:
        await client.connect(
            servers=list(settings.servers),
            name=name,
            allow_reconnect=False,
            connect_timeout=half_s,
            ping_interval=half_s,
            max_outstanding_pings=1,
            closed_cb=closed,
            disconnected_cb=closed,
            error_cb=failed,
            tls=None if settings.ca is None else ssl.create_default_context(cafile=settings.ca),
            user_credentials=None if settings.credentials is None else str(settings.credentials),
        )
        yield connection
    except (NatsError, OSError, TimeoutError) as error:
        raise ConnectionLost(f"no NATS server can be used: {error!r}") from error
    finally:
        # It waits until all is sent, which a server that stands still never takes.
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_S):
                await client.close()
