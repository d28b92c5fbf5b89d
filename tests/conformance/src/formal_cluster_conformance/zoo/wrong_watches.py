"""Wrong stores: watches, and what callers are told. See `zoo`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from formal_cluster.errors import Compacted, Unavailable
from formal_cluster.model import Event, EventKind, WatchUpdate
from formal_cluster_conformance.zoo.healthy import Healthy


class _Meddling(Healthy):
    """Changes the events of its updates."""

    def meddle(self, events: tuple[Event, ...]) -> tuple[Event, ...]:
        """The events to show instead."""
        raise NotImplementedError

    async def watch(
        self, prefix: bytes, *, from_revision: int | None = None
    ) -> AsyncGenerator[WatchUpdate, None]:
        """See `meddle`."""
        async with aclosing(super().watch(prefix, from_revision=from_revision)) as updates:
            async for update in updates:
                yield replace(update, events=self.meddle(update.events))


class WatchDrops(_Meddling):
    """Its watches lose one event in fifty."""

    caught_by = "ST-CONC-04"

    def meddle(self, events: tuple[Event, ...]) -> tuple[Event, ...]:
        """One in fifty."""
        return tuple(event for event in events if self.server.dice.random() > 0.02)


class WatchDuplicates(_Meddling):
    """Its watches show one event in thirty twice."""

    caught_by = "ST-WATCH-10"

    def meddle(self, events: tuple[Event, ...]) -> tuple[Event, ...]:
        """Again at once."""
        return tuple(
            event
            for original in events
            for event in [original] * (2 if self.server.dice.random() < 1 / 30 else 1)
        )


class WatchReorders(_Meddling):
    """Its watches show events of one update in the order of their keys."""

    caught_by = "ST-CONC-04"

    def meddle(self, events: tuple[Event, ...]) -> tuple[Event, ...]:
        """As a map would."""
        return tuple(sorted(events, key=lambda event: event.key))


class ExpiresInSilence(_Meddling):
    """What vanishes by its time to live has no event."""

    caught_by = "ST-TTL-03"

    async def put(
        self, key: bytes, value: bytes, *, ttl: float | None = None, **options: Any
    ) -> int:
        """Remember which keys may vanish."""
        expiring: set[bytes] = self.server.notes.setdefault("expiring", set())
        (expiring.discard if ttl is None else expiring.add)(key)
        return await super().put(key, value, ttl=ttl, **options)

    def meddle(self, events: tuple[Event, ...]) -> tuple[Event, ...]:
        """Without their deletion."""
        expiring: set[bytes] = self.server.notes.setdefault("expiring", set())
        return tuple(
            event for event in events if event.kind is EventKind.PUT or event.key not in expiring
        )


class WatchJumps(Healthy):
    """Its watches jump over discarded history and say nothing."""

    caught_by = "ST-COMPACT-01"

    async def watch(
        self, prefix: bytes, *, from_revision: int | None = None
    ) -> AsyncGenerator[WatchUpdate, None]:
        """From wherever there is something."""
        while True:
            try:
                async with aclosing(super().watch(prefix, from_revision=from_revision)) as updates:
                    async for update in updates:
                        yield update
            except Compacted as told:
                from_revision = told.oldest


class WatchSkipsOne(Healthy):
    """A watch resumed at a revision begins after it."""

    caught_by = "ST-WATCH-01"

    async def watch(
        self, prefix: bytes, *, from_revision: int | None = None
    ) -> AsyncGenerator[WatchUpdate, None]:
        """An off-by-one."""
        later = None if from_revision is None else from_revision + 1
        async with aclosing(super().watch(prefix, from_revision=later)) as updates:
            async for update in updates:
                yield update


class WatchBeginsBefore(Healthy):
    """A watch from now on begins with the last change before it."""

    caught_by = "ST-WATCH-02"

    def watch(
        self, prefix: bytes, *, from_revision: int | None = None
    ) -> AsyncGenerator[WatchUpdate, None]:
        """An off-by-one."""
        if from_revision is None:
            from_revision = self.server.memory.keyspace.revision
        return super().watch(prefix, from_revision=from_revision)


class SilentWhenIdle(Healthy):
    """Its watches say nothing as long as nothing changes."""

    caught_by = "ST-WATCH-09"

    async def watch(
        self, prefix: bytes, *, from_revision: int | None = None
    ) -> AsyncGenerator[WatchUpdate, None]:
        """The first update, then only events."""
        begun = False
        async with aclosing(super().watch(prefix, from_revision=from_revision)) as updates:
            async for update in updates:
                if update.events or not begun:
                    begun = True
                    yield update


class SaysNotApplied(Healthy):
    """Reports a lost answer as "certainly not applied"."""

    caught_by = "ST-CONC-04"

    async def put(self, key: bytes, value: bytes, **options: Any) -> int:
        """One in thirty."""
        revision = await super().put(key, value, **options)
        if self.server.dice.random() < 1 / 30:
            raise Unavailable("timed out")
        return revision


KINDS: tuple[type[Healthy], ...] = (
    WatchDrops,
    WatchDuplicates,
    WatchReorders,
    ExpiresInSilence,
    WatchJumps,
    WatchSkipsOne,
    WatchBeginsBefore,
    SilentWhenIdle,
    SaysNotApplied,
)
