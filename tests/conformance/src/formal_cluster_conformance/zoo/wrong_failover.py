"""Wrong stores: right as long as nothing happens to their server. See `zoo`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from formal_cluster.errors import Unavailable
from formal_cluster.model import Entry, Event, WatchUpdate
from formal_cluster_conformance.zoo.healthy import Healthy
from formal_cluster_conformance.zoo.server import Server


class StaleAfterFailover(Healthy):
    """After a failover it goes on reading from the copy that it had made before."""

    caught_by = "FO-KILL-01"

    @classmethod
    def after_failover(cls, server: Server) -> None:
        """The copy."""
        server.notes["copy"] = dict(server.memory.keyspace._entries)

    async def get(self, key: bytes) -> Entry | None:
        """One read in five."""
        copy: dict[bytes, Entry] | None = self.server.notes.get("copy")
        if copy is not None and self.server.dice.random() < 0.2:
            await self.ask()
            return copy.get(key)
        return await super().get(key)


class ForgetsAcknowledged(Healthy):
    """Acknowledges before it has written: a failover loses the last change of every key."""

    caught_by = "FO-STOPALL-01"

    @classmethod
    def after_failover(cls, server: Server) -> None:
        """Back to the values before; the revisions go on."""
        keyspace = server.memory.keyspace
        before: dict[bytes, bytes] = {}
        for event in list(keyspace._history)[:-30]:
            before[event.key] = event.value
        for key, entry in list(keyspace._entries.items()):
            if key in before and before[key] != entry.value:
                keyspace._entries[key] = replace(entry, value=before[key])


class WatchResumesNow(Healthy):
    """After a failover its watches go on from now: what happened meanwhile is missing."""

    caught_by = "FO-KILL-02"

    async def watch(
        self, prefix: bytes, *, from_revision: int | None = None
    ) -> AsyncGenerator[WatchUpdate, None]:
        """The first events after a failover are lost."""
        seen = self.server.failovers
        async with aclosing(super().watch(prefix, from_revision=from_revision)) as updates:
            async for update in updates:
                if update.events and seen != self.server.failovers:
                    seen = self.server.failovers
                    yield replace(update, events=update.events[1:])
                else:
                    yield update


class WatchRepeats(Healthy):
    """After a failover its watches show the last event again."""

    caught_by = "FO-KILL-02"

    async def watch(
        self, prefix: bytes, *, from_revision: int | None = None
    ) -> AsyncGenerator[WatchUpdate, None]:
        """Resumed at the last revision instead of the one after it."""
        seen, last = self.server.failovers, tuple[Event, ...]()
        async with aclosing(super().watch(prefix, from_revision=from_revision)) as updates:
            async for update in updates:
                if seen != self.server.failovers:
                    seen = self.server.failovers
                    update = replace(update, events=last + update.events)  # noqa: PLW2901
                last = update.events[-1:] or last
                yield update


class SaysNotAppliedWhenLost(Healthy):
    """Reports "certainly not applied" of what the server had done when it was lost."""

    caught_by = "FO-KILL-01"

    async def answer(self, result: Any) -> Any:
        """The wrong error; and answers are slow, so that some are lost."""
        await asyncio.sleep(0.05)
        if self.server.away:
            raise Unavailable("the server is away")
        return result


class NeverBack(Healthy):
    """After a failover one of its instances serves no more."""

    caught_by = "FO-KILL-01"

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self._born = server.failovers

    async def ask(self) -> None:
        """Those that were there before."""
        if self._born != self.server.failovers:
            raise Unavailable("the connection is broken")
        await super().ask()


class NothingOnDisk(Healthy):
    """Keeps everything in its server's memory: a restart of that loses it."""

    caught_by = "ST-LIFE-04"

    @classmethod
    def after_failover(cls, server: Server) -> None:
        """Nothing but the revision."""
        server.memory.keyspace._entries.clear()


class ReadsFromTheEmpty(Healthy):
    """Reads from a node that came back without its disk before the others have filled it."""

    caught_by = "FO-WIPE-01"

    async def get(self, key: bytes) -> Entry | None:
        """One read in five finds nothing."""
        if self.server.wiped and self.server.dice.random() < 0.2:
            await self.ask()
            return None
        return await super().get(key)


KINDS: tuple[type[Healthy], ...] = (
    StaleAfterFailover,
    ForgetsAcknowledged,
    WatchResumesNow,
    WatchRepeats,
    SaysNotAppliedWhenLost,
    NeverBack,
    NothingOnDisk,
    ReadsFromTheEmpty,
)
