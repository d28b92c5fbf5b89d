"""All connections of a store: made with back-off, vetted, lent out one request at a time.

Vetting is what makes a loss visible. A restart of Redis breaks every connection, so before anything
is read or written after it, somebody has looked whether the server is another or an older one, and
begun a new life of the store if it may be.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator
from typing import Final

from formal_cluster import backoff
from formal_cluster.errors import Unavailable
from formal_cluster_store_redis_test.errors_map import Refused, map_refusal, until_mended
from formal_cluster_store_redis_test.knowledge import Knowledge
from formal_cluster_store_redis_test.layout import Layout
from formal_cluster_store_redis_test.link import Answered, Link, Lost
from formal_cluster_store_redis_test.scripts import OPEN
from formal_cluster_store_redis_test.settings import RedisTestSettings
from formal_cluster_store_redis_test.vetting import Facts, Unfit, assess, parse_info

_FIRST_DELAY_S: Final = 0.02
_LONGEST_DELAY_S: Final = 1.0
_TURN_S: Final = 5.0
"""Longest wait for a turn. Much longer than a request may take: in a crowd all have to wait."""


class Links:
    """Connections to the server of `settings`. What they find goes into `knowledge`."""

    def __init__(self, settings: RedisTestSettings, knowledge: Knowledge) -> None:
        self.layout: Final = Layout(settings.key_prefix)
        self.where: Final = str(settings.server)
        self.closed: Final = asyncio.Event()
        self._settings = settings
        self._knowledge = knowledge
        self._turns = asyncio.BoundedSemaphore(settings.connections)
        self._idle: list[Link] = []
        self._all: set[Link] = set()
        self._delays = backoff.delays(_FIRST_DELAY_S, _LONGEST_DELAY_S)
        self._next_try = 0.0
        self._why_not: tuple[type[Unavailable], str] | None = None

    @contextlib.asynccontextmanager
    async def lent(self) -> AsyncIterator[Link]:
        """A connection for one request. It is used again if its every answer was read.

        Raises:
            Unavailable: There is none; nothing was sent. A `Refused` if an operator has to act.
        """
        try:
            async with asyncio.timeout(_TURN_S):
                await self._turns.acquire()
        except TimeoutError:
            raise Unavailable(
                f"{self._settings.connections} requests to Redis at {self.where} are under way and "
                "none has ended in time; try again, or raise store.redis-test.connections"
            ) from None
        try:
            link = await self._take()
            try:
                yield link
            finally:
                await self._put_back(link)
        finally:
            self._turns.release()

    async def open(self, *, silence_s: float = 0.0) -> Link:
        """A new connection, vetted. `close` it.

        Args:
            silence_s: Seconds for which an answer may keep us waiting besides the usual time.

        Raises: as `lent`.
        """
        if self.closed.is_set():
            raise Unavailable("the store was stopped")
        if self._why_not is not None and time.monotonic() < self._next_try:
            error, message = self._why_not
            raise error(message)
        link = Link(
            self._settings, self.layout.keys, silence_s=silence_s + self._settings.timeout_s
        )
        self._all.add(link)
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                await link.connect()
                await self.vet(link)
        except BaseException as error:
            await self.close(link)
            if isinstance(error, Lost | Answered | Unfit | TimeoutError):
                explained = self._explained(error)
                self._why_not = (type(explained), str(explained))
                self._next_try = time.monotonic() + next(self._delays)
                raise explained from error
            raise
        self._why_not = None
        self._delays = backoff.delays(_FIRST_DELAY_S, _LONGEST_DELAY_S)
        return link

    async def vet(self, link: Link) -> None:
        """Find out what the server is and which store it has; begin one, or a new life of it, if
        there is reason to.

        Raises:
            Unfit: It is not a server to have a store on.
            Lost, Answered: As `Link.call`.
        """
        facts = assess(parse_info((await link.call("INFO")).decode()), await _config(link))
        seen = (self._knowledge.cluster or "", self._knowledge.revision)
        found = await link.call("HMGET", self.layout.meta, "cluster", "run", "revision", "durable")
        if None in found or self._is_news(*found, facts=facts, seen=seen):
            answer = await link.run(
                OPEN,
                secrets.token_hex(8),
                facts.run_id,
                int(facts.keeps_acknowledged),
                *seen,
            )
            cluster, durable, revision = answer
        else:
            cluster, _, revision, durable = found
        link.cluster = cluster.decode()
        self._knowledge.met(link.cluster, int(revision), facts, keeps_acknowledged=durable == b"1")

    async def close(self, link: Link) -> None:
        """Hang up."""
        self._all.discard(link)
        await link.close()

    async def hang_up_idle(self) -> None:
        """Vet whatever is used next anew."""
        idle, self._idle = self._idle, []
        for link in idle:
            await self.close(link)

    async def aclose(self) -> None:
        """Hang up everywhere, and connect no more. Idempotent."""
        self.closed.set()
        self._idle.clear()
        for link in tuple(self._all):
            await self.close(link)

    async def _take(self) -> Link:
        while self._idle:
            link = self._idle.pop()
            if await link.is_fresh():
                return link
            await self.close(link)
        return await self.open()

    async def _put_back(self, link: Link) -> None:
        if not self.closed.is_set() and await link.is_fresh():
            self._idle.append(link)
        else:
            await self.close(link)

    @staticmethod
    def _is_news(
        cluster: bytes,
        run: bytes,
        revision: bytes,
        durable: bytes,
        *,
        facts: Facts,
        seen: tuple[str, int],
    ) -> bool:
        return (
            run.decode() != facts.run_id
            or (durable == b"1" and not facts.keeps_acknowledged)
            or (cluster.decode() == seen[0] and int(revision) < seen[1])
        )

    def _explained(self, error: Exception) -> Unavailable:
        message = f"Redis at {self.where}: {error}"
        if isinstance(error, TimeoutError):
            return Unavailable(f"Redis at {self.where}: no answer while connecting")
        if isinstance(error, Unfit):
            return Refused(message)
        if isinstance(error, Answered):
            mapped = map_refusal(str(error), where=self.where, write=False)
            refused = until_mended(str(error)) is not None
            return (Refused if refused else Unavailable)(str(mapped))
        return Unavailable(message)


async def _config(link: Link) -> dict[str, str] | None:
    try:
        answer = await link.call("CONFIG", "GET", "appendonly", "appendfsync")
    except Answered:
        return None  # not allowed, or renamed, as hosted servers do
    texts = [part.decode() for part in answer]
    return dict(zip(texts[::2], texts[1::2], strict=True))
