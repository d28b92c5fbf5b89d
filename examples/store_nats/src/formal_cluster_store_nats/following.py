"""Reading the stream from a revision on, message by message, with nothing missing on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping

from nats.aio.msg import Msg

from formal_cluster_store_nats.connection import Connection, ConnectionLost
from formal_cluster_store_nats.messages import Message, Subjects

_SECOND = 1_000_000_000
_CONTROL = "100"
_STALLED = "Nats-Consumer-Stalled"


async def follow(connection: Connection, stream: str, start: int) -> AsyncGenerator[Message, None]:
    """The stream's messages from revision `start` on, or the oldest ones after it.

    Raises:
        ApiError: JetStream cannot deliver them.
        ConnectionLost: A message was lost on the way.
        ConfigError: The stream has a message of somebody else.
    """
    subjects = Subjects(stream)
    received: asyncio.Queue[Msg] = asyncio.Queue()
    inbox = connection.new_inbox()
    await connection.subscribe(inbox, received.put)
    await connection.request(
        f"CONSUMER.CREATE.{stream}",
        {"stream_name": stream, "config": _consumer(inbox, start)},
        what="deliver the stream",
    )
    delivered = 0
    while True:
        message = await received.get()
        headers: Mapping[str, str] = message.headers or {}
        if headers.get("Status") == _CONTROL:
            await _answer(connection, message, headers)
            continue
        sequence = message.metadata.sequence
        delivered += 1
        if sequence.consumer != delivered:
            raise ConnectionLost(f"message {delivered} of the stream did not arrive")
        yield subjects.parse(sequence.stream, message.subject, headers, message.data)


async def _answer(connection: Connection, message: Msg, headers: Mapping[str, str]) -> None:
    """The server waits with further messages until it knows how far the reader is."""
    subject = message.reply or headers.get(_STALLED)
    if subject:
        await connection.answer(subject)


def _consumer(inbox: str, start: int) -> dict[str, object]:
    return {
        "deliver_subject": inbox,
        "deliver_policy": "by_start_sequence",
        "opt_start_seq": start,
        "ack_policy": "none",
        "replay_policy": "instant",
        "flow_control": True,
        "idle_heartbeat": _SECOND,
        "inactive_threshold": 5 * _SECOND,
        "mem_storage": True,
        "num_replicas": 1,
    }
