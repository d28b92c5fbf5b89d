"""Concurrent load on a few keys, recorded: who called what, from when to when, how it ended.

All instances are driven from one event loop, so one clock orders all calls. Every put has a value
of its own, so what is read says which put it comes from.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from formal_cluster.errors import Conflict, NotWritable, OutcomeUnknown, Unavailable
from formal_cluster.protocols import StateStore
from formal_cluster_conformance.calls import ENDS_WITHIN_SECONDS, named
from formal_cluster_conformance.linear.operation import Ending, Kind, Operation, overlapping
from formal_cluster_conformance.linear.whole import Listed
from formal_cluster_conformance.results import Violation

_GIVE_UP_S: Final = 20.0
_LONG_S: Final = 0.5
_AFTER_AN_ERROR_S: Final = 0.01


@dataclass
class History:
    """What was recorded."""

    operations: list[Operation] = field(default_factory=list)
    listings: list[Listed] = field(default_factory=list)

    @property
    def overlapping(self) -> int:
        """Calls that ran at the same time as another one on the same key."""
        return overlapping(self.operations)

    @property
    def unknown(self) -> int:
        """Calls of which nobody knows whether they were applied."""
        return sum(op.is_open for op in self.operations)

    def during(self, begin: float, end: float) -> int:
        """Calls that ran at some time between these moments."""
        return sum(op.begin < end and op.end > begin for op in self.operations)

    def hindered(self, begin: float, end: float) -> int:
        """Calls between these moments that failed, or took long."""
        return sum(
            op.begin < end
            and op.end > begin
            and (op.ending in (Ending.REFUSED, Ending.UNKNOWN) or op.end - op.begin > _LONG_S)
            for op in self.operations
        )


class Client:
    """One caller on one driver: it calls, records, and remembers what it has read last.

    Attributes:
        under_way: What it is waiting for at this moment.
    """

    def __init__(
        self,
        number: int,
        store: StateStore,
        history: History,
        numbers: itertools.count[int],
        keys: Sequence[bytes],
        below: bytes,
        dice: random.Random,
    ) -> None:
        self.number = number
        self.calls = 0
        self.under_way: Kind | None = None
        self._store = store
        self._history = history
        self._numbers = numbers
        self._keys = keys
        self._below = below
        self._dice = dice
        self._revisions = dict.fromkeys(keys, 0)
        self._now = asyncio.get_running_loop().time

    async def run(
        self,
        more: Callable[[], bool],
        *,
        lists: bool = False,
        gives_up: bool = False,
        pause_s: float = 0.0002,
    ) -> None:
        """Call at random as long as there is `more` to do.

        Args:
            pause_s: How long to wait between two calls on average.
            lists: Also list everything now and then.
            gives_up: Also cancel calls now and then.
        """
        while more():
            self.calls += 1
            key = self._dice.choice(self._keys)
            what = self._dice.random()
            if lists and what < 0.1:
                await self._list()
            elif what < 0.45:
                await self._call(Kind.GET, key, None, None, gives_up=False)
            else:
                kind = Kind.DELETE if what > 0.92 else Kind.PUT
                value = b"%d.%d" % (self.number, self.calls) if kind is Kind.PUT else None
                condition = self._revisions[key] if self._dice.random() < 0.5 else None
                await self._call(
                    kind, key, value, condition, gives_up=gives_up and self._dice.random() < 0.15
                )
            # Between calls others run, also where calls themselves never wait.
            long_pause = 10 * pause_s * self._dice.random()
            await asyncio.sleep(0 if self._dice.random() < 0.8 else long_pause)

    async def _call(
        self, kind: Kind, key: bytes, value: bytes | None, condition: int | None, *, gives_up: bool
    ) -> None:
        begin = self._now()
        patience = max(0.0, self._dice.uniform(-0.002, 0.002)) if gives_up else _GIVE_UP_S
        ending, revision = Ending.DONE, None
        self.under_way = kind
        try:
            async with asyncio.timeout(patience):
                if kind is Kind.GET:
                    entry = await self._store.get(key)
                    value, revision = (entry.value, entry.revision) if entry else (None, 0)
                elif kind is Kind.PUT:
                    assert value is not None
                    revision = await self._store.put(key, value, if_revision=condition)
                else:
                    revision = await self._store.delete(key, if_revision=condition)
        except Conflict as conflict:
            ending, revision = Ending.CONFLICT, conflict.actual
        except (Unavailable, NotWritable):
            ending = Ending.REFUSED
        except OutcomeUnknown:
            ending = Ending.UNKNOWN
        except TimeoutError as error:
            if not gives_up:
                raise Violation(
                    f"a call has not returned: {named(error)}. {ENDS_WITHIN_SECONDS}"
                ) from error
            ending = Ending.UNKNOWN
        finally:
            self.under_way = None
        end = math.inf if ending is Ending.UNKNOWN else self._now()
        self._history.operations.append(
            Operation(
                number=next(self._numbers),
                client=self.number,
                kind=kind,
                key=key,
                begin=begin,
                end=end,
                ending=ending,
                value=value,
                if_revision=condition,
                revision=revision,
            )
        )
        if ending in (Ending.REFUSED, Ending.UNKNOWN):
            await asyncio.sleep(_AFTER_AN_ERROR_S)
        elif revision is not None:
            self._revisions[key] = 0 if kind is Kind.DELETE else revision

    async def _list(self) -> None:
        begin = self._now()
        try:
            listing = await self._store.list(self._below)
        except Unavailable:
            await asyncio.sleep(_AFTER_AN_ERROR_S)
            return
        self._history.listings.append(
            Listed(self.number, begin, self._now(), listing.entries, listing.revision)
        )


def clients(
    drivers: Sequence[StateStore],
    keys: Sequence[bytes],
    below: bytes,
    dice: random.Random,
    *,
    count: int,
) -> tuple[History, list[Client]]:
    """Clients spread over the drivers, and the history that they write."""
    history, numbers = History(), itertools.count()
    return history, [
        Client(
            number,
            drivers[number % len(drivers)],
            history,
            numbers,
            keys,
            below,
            random.Random(dice.getrandbits(64)),
        )
        for number in range(count)
    ]


async def run(
    callers: Sequence[Client], *, calls: int, lists: bool = False, gives_up: bool = False
) -> None:
    """Let every client make so many calls."""
    async with asyncio.TaskGroup() as group:
        for client in callers:
            last = client.calls + calls
            group.create_task(
                client.run(
                    lambda client=client, last=last: client.calls < last,  # type: ignore[misc]
                    lists=lists,
                    gives_up=gives_up,
                )
            )
