"""The stream that has everything: made if there is none, and never changed."""

from __future__ import annotations

from dataclasses import dataclass

from formal_cluster.errors import ConfigError
from formal_cluster_store_nats.answers import ApiError
from formal_cluster_store_nats.connection import Connection
from formal_cluster_store_nats.messages import Subjects
from formal_cluster_store_nats.settings import NatsSettings

_NOT_FOUND = 10059


@dataclass(frozen=True, slots=True)
class StreamState:
    """What the stream has at this moment.

    Attributes:
        identity: Another one if the stream was deleted and made again.
        last: Its last revision.
        messages: How many messages it has.
        leader: The name of the server that leads it, if it is told.
    """

    identity: str
    last: int
    messages: int
    leader: str | None


async def open_stream(connection: Connection, settings: NatsSettings) -> StreamState:
    """The stream's state; it is made if it is not there.

    Raises:
        ApiError: JetStream cannot find or make it.
        ConfigError: There is one of the name that would lose data.
        ConnectionLost: There was no answer.
    """
    name = settings.stream
    wanted = _wanted(settings)
    try:
        info = await connection.request(f"STREAM.INFO.{name}", {}, what=f"find stream {name}")
    except ApiError as error:
        if error.code != _NOT_FOUND:
            raise
        info = await connection.request(f"STREAM.CREATE.{name}", wanted, what=f"make stream {name}")
    config = info["config"]
    for key, value in wanted.items():
        if config.get(key) != value:
            raise ConfigError(
                f"stream {name} has {key} = {config.get(key)!r}, and this store needs {value!r}; "
                f"edit the stream, or set another `store.nats.stream`"
            )
    state = info["state"]
    return StreamState(
        identity=f"{name}@{info['created']}",
        last=state["last_seq"],
        messages=state["messages"],
        leader=info.get("cluster", {}).get("leader"),
    )


def _wanted(settings: NatsSettings) -> dict[str, object]:
    return {
        "name": settings.stream,
        "subjects": [Subjects(settings.stream).all],
        "retention": "limits",
        "discard": "new",
        "storage": "file",
        "num_replicas": settings.replicas,
        "max_msgs": -1,
        "max_msgs_per_subject": -1,
        "max_age": 0,
    }
