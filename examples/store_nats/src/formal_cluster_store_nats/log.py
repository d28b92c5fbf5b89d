"""The stream as this instance follows it: changes go in here, and come back in the stream's order.

A *mark* is a message that says nothing. Its revision, once a majority of the servers has stored it,
is larger than that of every change acknowledged before it was sent; whoever has applied everything
up to it has read what was the newest when he asked. Callers that wait for one at the same time
share it, and an instance without callers sends one every second: that is how it knows that it is
not cut off.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from contextlib import aclosing, suppress
from typing import Any

from formal_cluster.errors import ConfigError, StoreError, Unavailable
from formal_cluster_store_nats.answers import ApiError
from formal_cluster_store_nats.connection import Connection, ConnectionLost, connect
from formal_cluster_store_nats.following import follow
from formal_cluster_store_nats.messages import Change, Compaction, Message, Subjects, new_write
from formal_cluster_store_nats.publishing import Publisher, open_publisher
from formal_cluster_store_nats.replica import HistoryLost, Replica
from formal_cluster_store_nats.settings import NatsSettings
from formal_cluster_store_nats.stream import StreamState, open_stream

_PULSE_S = 0.9
_PAUSE_S = 0.2
_CHANGE_S = 2.0
_SIGNS_S = 60.0

Upkeep = Callable[["Log"], Coroutine[Any, Any, None]]


class StreamReplaced(Exception):
    """Revisions have begun anew: the stream is another one, or has lost its end."""


class Log:
    """One instance's way to the stream, renewed whenever it breaks.

    Attributes:
        replica: What was read so far.
        stream: The stream as it was when it was last connected to.
        lineage: Grows whenever revisions begin anew.
        confirmed_at: When the last mark was sent that came back, on the monotonic clock.
        compacted_at: When history was last discarded, as far as was seen.
        signs: When each instance has last sent a mark.
        error: Why nothing could be done the last time, None as soon as something can.
    """

    def __init__(self, settings: NatsSettings, instance: str, logger: logging.Logger) -> None:
        self.settings = settings
        self.subjects = Subjects(settings.stream)
        self.replica = Replica(last=0, messages=0)
        self.stream: StreamState | None = None
        self.lineage = 0
        self.confirmed_at: float | None = None
        self.compacted_at = time.monotonic()
        self.signs: dict[str, float] = {}
        self.error: Exception | None = None
        self._instance = instance
        self._patience_s = settings.timeout_seconds / 2
        self._logger = logger
        self._session: tuple[Connection, Publisher] | None = None
        self._waiting: list[asyncio.Future[None]] = []
        self._asked = asyncio.Event()
        self._news = asyncio.Event()

    async def run(self, *upkeep: Upkeep) -> None:
        """Follow the stream, with `upkeep` running while it is connected; until cancelled."""
        try:
            while True:
                await self._connect_once(upkeep)
                self._tell()
                await asyncio.sleep(_PAUSE_S)
        except Exception as bug:
            self._failed(bug)
            raise
        finally:
            self._tell()

    async def write(
        self, subject: str, data: bytes, headers: dict[str, str], *, write: str, deadline: float
    ) -> int:
        """Append a message: see `Publisher.append`."""
        _, publisher = await self._connected()
        return await publisher.append(
            subject, data, headers=headers, write=write, deadline=deadline
        )

    async def mark(self, deadline: float) -> None:
        """Return when everything is applied that was acknowledged before the call.

        Raises:
            Unavailable: There is no connection, or no majority that answers in time.
        """
        await self._connected()
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._asked.set()
        try:
            async with asyncio.timeout_at(deadline):
                await future
        except TimeoutError:
            raise Unavailable("no majority of the NATS servers answers in time") from None

    async def news(self) -> None:
        """Wait until something was read, or went wrong."""
        await self._news.wait()

    async def request(self, subject: str, document: dict[str, object], *, what: str) -> None:
        """Ask JetStream's API for something that may be asked for twice.

        Raises:
            Unavailable: It was not done, or no answer came.
        """
        connection, _ = await self._connected()
        try:
            await connection.request(subject, document, what=what)
        except ConnectionLost as lost:
            raise Unavailable(str(lost)) from lost

    async def _connect_once(self, upkeep: tuple[Upkeep, ...]) -> None:
        try:
            await self._follow_while_connected(upkeep)
        except* (ConnectionLost, ApiError, ConfigError) as lost:
            self._failed(_first(lost))
        except* HistoryLost as lost:
            self._begin_anew(_first(lost))
        except* StreamReplaced as replaced:
            self.lineage += 1
            self._begin_anew(_first(replaced))

    async def _follow_while_connected(self, upkeep: tuple[Upkeep, ...]) -> None:
        async with connect(self.settings, f"formal-cluster {self._instance}") as connection:
            await self._open(connection)
            publisher = await open_publisher(connection)
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._follow(connection, publisher))
                    tasks.create_task(self._keep_marking(publisher))
                    tasks.create_task(_until_lost(connection))
                    self._session = (connection, publisher)
                    self._tell()
                    for job in upkeep:
                        tasks.create_task(job(self))
            finally:
                self._session = None
                publisher.give_up()
                self._refuse_waiting()

    async def _open(self, connection: Connection) -> None:
        state = await open_stream(connection, self.settings)
        if self.stream is not None and self.stream.identity != state.identity:
            self.lineage += 1
            self.replica = Replica(last=state.last, messages=state.messages)
        elif self.stream is None or not self.replica.complete:
            self.replica = Replica(last=state.last, messages=state.messages)
        self.stream = state

    async def _follow(self, connection: Connection, publisher: Publisher) -> None:
        messages = follow(connection, self.settings.stream, self.replica.applied + 1)
        async with aclosing(messages):
            async for message in messages:
                now = time.monotonic()
                self.replica.apply(message, now)
                self._note(message, now)
                if isinstance(message, Change):
                    publisher.seen(message.write, message.revision)
                self._tell()

    def _note(self, message: Message, now: float) -> None:
        if isinstance(message, Compaction):
            self.compacted_at = now
            self.signs = {id_: at for id_, at in self.signs.items() if now - at < _SIGNS_S}
        elif not isinstance(message, Change):
            self.signs[message.instance] = now

    async def _keep_marking(self, publisher: Publisher) -> None:
        while True:
            with suppress(TimeoutError):  # if nobody asks, it is time to show a sign of life
                async with asyncio.timeout(_PULSE_S):
                    await self._asked.wait()
            self._asked.clear()
            self._waiting = [future for future in self._waiting if not future.done()]
            asking = len(self._waiting)
            before, sent = self.replica.applied, time.monotonic()
            revision = await self._mark(publisher)
            if revision <= before:
                raise StreamReplaced(f"revision {revision} came after {before}")
            await self._applied(revision)
            self.confirmed_at, self.error = sent, None
            for future in self._waiting[:asking]:
                if not future.done():
                    future.set_result(None)
            del self._waiting[:asking]

    async def _mark(self, publisher: Publisher) -> int:
        """Append a mark. The servers may need some time to agree on who leads them."""
        loop = asyncio.get_running_loop()
        give_up = loop.time() + self.settings.timeout_seconds
        while True:
            deadline = loop.time() + self._patience_s
            try:
                return await publisher.append(
                    self.subjects.mark,
                    self._instance.encode(),
                    write=new_write(),
                    deadline=deadline,
                )
            except StoreError as error:
                if loop.time() > give_up or loop.time() >= deadline:
                    raise ConnectionLost(str(error)) from error
            await asyncio.sleep(_PAUSE_S)

    async def _applied(self, revision: int) -> None:
        """Wait until everything up to the revision was read, as long as anything is read."""
        while self.replica.applied < revision or not self.replica.complete:
            before = self.replica.applied
            try:
                async with asyncio.timeout(self._patience_s):
                    while self.replica.applied == before:
                        await self.news()
            except TimeoutError:
                raise ConnectionLost(
                    f"the stream has revision {revision}, and delivers nothing after {before}"
                ) from None

    async def _connected(self) -> tuple[Connection, Publisher]:
        """What is connected; with several servers it is waited for a while if nothing is."""
        if self._session is None and len(self.settings.servers) > 1:
            with suppress(TimeoutError):
                async with asyncio.timeout(_CHANGE_S):
                    while self._session is None:
                        await self.news()
        if self._session is None:
            because = f": {self.error}" if self.error else ""
            raise Unavailable(f"there is no connection to NATS{because}")
        return self._session

    def _refuse_waiting(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_exception(Unavailable("the connection to NATS was lost"))

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def _begin_anew(self, why: Exception) -> None:
        self.replica = Replica(last=0, messages=1)
        self._failed(why)

    def _failed(self, why: Exception) -> None:
        if str(why) != str(self.error):
            self._logger.warning("nats store not connected", extra={"reason": str(why)})
            self.error = why


async def _until_lost(connection: Connection) -> None:
    await connection.lost.wait()
    raise ConnectionLost("the NATS server has closed the connection")


def _first(group: BaseExceptionGroup[Exception]) -> Exception:
    """One of the causes; groups come in groups."""
    cause = group.exceptions[0]
    return _first(cause) if isinstance(cause, BaseExceptionGroup) else cause
