"""Changes on their way to the stream over one connection, and what became of each."""

from __future__ import annotations

import asyncio

from nats.aio.msg import Msg

from formal_cluster.errors import OutcomeUnknown, StoreError, Unavailable
from formal_cluster_store_nats.answers import WrongRevision, revision_of
from formal_cluster_store_nats.connection import Connection

_ENVELOPE = 1024
"""Bytes that the headers of a change take, at most."""
_LONGEST_SUBJECT = 3500
"""The server's `max_control_line` is 4,096 bytes, with the reply's subject in it."""


class Publisher:
    """Appends messages to the stream over a connection; made by `open_publisher`."""

    def __init__(self, connection: Connection, inbox: str) -> None:
        self._connection = connection
        self._inbox = inbox
        self._writes: dict[str, asyncio.Future[int]] = {}

    async def append(
        self,
        subject: str,
        data: bytes,
        *,
        write: str,
        deadline: float,
        headers: dict[str, str] | None = None,
    ) -> int:
        """Append a message and return its revision.

        It counts as appended as soon as it is acknowledged or comes back in the stream.

        Args:
            write: Unique; a change's headers name it, too.
            deadline: On the event loop's clock.

        Raises:
            WrongRevision, NotWritable, StoreError: Refused.
            Unavailable: Not sent, or to nobody.
            OutcomeUnknown: Sent, and nothing was heard of it.
        """
        self._fits(subject, len(data))
        future = asyncio.get_running_loop().create_future()
        self._writes[write] = future
        try:
            async with asyncio.timeout_at(deadline):
                await self._connection.publish(
                    subject, data, headers or {}, f"{self._inbox}.{write}"
                )
                return int(await future)
        except TimeoutError:
            raise OutcomeUnknown(
                "NATS did not say in time whether it has stored the change; read the key"
            ) from None
        finally:
            del self._writes[write]

    def seen(self, write: str, revision: int) -> None:
        """The message has come back in the stream."""
        future = self._writes.get(write)
        if future is not None and not future.done():
            future.set_result(revision)

    def give_up(self) -> None:
        """The connection is lost, and no answer will come."""
        for future in self._writes.values():
            if not future.done():
                future.set_exception(
                    OutcomeUnknown("the connection to NATS was lost during a change; read the key")
                )

    async def answered(self, message: Msg) -> None:
        """An answer has come."""
        future = self._writes.get(message.subject.rpartition(".")[2])
        if future is None or future.done():
            return
        if message.headers and message.headers.get("Status") == "503":
            future.set_exception(Unavailable("nobody leads the stream at the moment; try again"))
            return
        try:
            future.set_result(revision_of(message.data))
        except (StoreError, WrongRevision) as error:
            future.set_exception(error)

    def _fits(self, subject: str, length: int) -> None:
        if len(subject) > _LONGEST_SUBJECT:
            raise StoreError(
                f"a key of this length makes a subject of {len(subject)} characters, and NATS "
                f"takes {_LONGEST_SUBJECT}; use a shorter one"
            )
        size = length + len(subject) + _ENVELOPE
        if size > self._connection.largest:
            raise StoreError(
                f"a message of {size} bytes is larger than NATS takes "
                f"({self._connection.largest}); raise `max_payload` of the servers, or write less"
            )


async def open_publisher(connection: Connection) -> Publisher:
    """A publisher that hears the answers.

    Raises:
        ConnectionLost: The server does not answer.
    """
    inbox = connection.new_inbox()
    publisher = Publisher(connection, inbox)
    await connection.subscribe(f"{inbox}.*", publisher.answered)
    return publisher
