"""Which call on which instance: what a message has to name for a driver's author to find it.

The drivers that rules are given are `Traced` ones. An error that leaves one carries a note with the
call, the instance and the time it took. A rule that takes too long is told what it waits for.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Final

from formal_cluster.model import Capability, Entry, Listing, StoreStatus, WatchUpdate
from formal_cluster.protocols import StateStore

_LONG_S: Final = 1.0
"""What takes longer is waited for. An idle watch says something more often than that."""
_SHOWN: Final = 5
ENDS_WITHIN_SECONDS: Final = (
    "An operation ends within seconds, by Unavailable or OutcomeUnknown if need be"
)
_LONGEST_KEY: Final = 80


@dataclass(frozen=True, eq=False)
class _Call:
    what: str
    begun: float

    def __str__(self) -> str:
        return f"{self.what}, after {time.monotonic() - self.begun:.1f} s"


class Calls:
    """What a site's rules have asked of its drivers and its declaration."""

    def __init__(self) -> None:
        self._under_way: dict[_Call, None] = {}  # the oldest first
        self._made = 0

    @contextmanager
    def noted(self, what: str) -> Iterator[None]:
        """Around one call: it is under way, and an error that it ends with has a note of it."""
        call = _Call(what, time.monotonic())
        self._under_way[call] = None
        self._made += 1
        try:
            yield
        except BaseException as error:
            error.add_note(str(call))
            raise
        finally:
            del self._under_way[call]

    def waiting(self) -> str:
        """What is waited for at this moment, in words."""
        since = time.monotonic() - _LONG_S
        long = [str(call) for call in self._under_way if call.begun < since]
        if not long:
            return f"no call is waited for, and {self._made} were made so far: the store is slow"
        more = f"; and {len(long) - _SHOWN} more" if len(long) > _SHOWN else ""
        return f"not returned: {'; '.join(long[:_SHOWN])}{more}"


def named(error: BaseException) -> str:
    """The call that an error comes from; of a time limit, the call that was given up by it."""
    # What a time limit gave up is the cause of its TimeoutError, in older Pythons its context.
    for each in (error, error.__cause__, error.__context__):
        notes = getattr(each, "__notes__", None)
        if notes:
            return str(notes[-1])
    return "an unknown call"


class Traced:
    """Implements `StateStore` by a driver, and says whose call it was that failed, or waits.

    Args:
        driver: The driver under test.
        instance: Whose it is.
    """

    def __init__(self, driver: StateStore, instance: int, calls: Calls) -> None:
        self.driver = driver
        self.instance = instance
        self.calls = calls

    @property
    def capabilities(self) -> frozenset[Capability]:
        """The driver's."""
        return self.driver.capabilities

    async def start(self) -> None:
        """The driver's."""
        with self.calls.noted(self._call("start")):
            await self.driver.start()

    async def stop(self) -> None:
        """The driver's."""
        with self.calls.noted(self._call("stop")):
            await self.driver.stop()

    def status(self) -> StoreStatus:
        """The driver's."""
        return self.driver.status()

    async def get(self, key: bytes) -> Entry | None:
        """The driver's."""
        with self.calls.noted(self._call("get", key)):
            return await self.driver.get(key)

    async def list(self, prefix: bytes) -> Listing:
        """The driver's."""
        with self.calls.noted(self._call("list", prefix)):
            return await self.driver.list(prefix)

    async def put(
        self, key: bytes, value: bytes, *, if_revision: int | None = None, ttl: float | None = None
    ) -> int:
        """The driver's."""
        with self.calls.noted(self._call("put", key)):
            return await self.driver.put(key, value, if_revision=if_revision, ttl=ttl)

    async def delete(self, key: bytes, *, if_revision: int | None = None) -> int | None:
        """The driver's."""
        with self.calls.noted(self._call("delete", key)):
            return await self.driver.delete(key, if_revision=if_revision)

    def watch(
        self, prefix: bytes, *, from_revision: int | None = None
    ) -> AsyncGenerator[WatchUpdate, None]:
        """The driver's; each wait for an update is a call."""
        return self._watched(
            self.driver.watch(prefix, from_revision=from_revision),
            self._call("the next update of watch", prefix),
        )

    async def _watched(
        self, watch: AsyncGenerator[WatchUpdate, None], what: str
    ) -> AsyncGenerator[WatchUpdate, None]:
        async with aclosing(watch) as updates:
            while True:
                with self.calls.noted(what):
                    try:
                        update = await anext(updates)
                    except StopAsyncIteration:
                        return
                yield update

    def _call(self, name: str, key: bytes | None = None) -> str:
        argument = "" if key is None else repr(key)
        if len(argument) > _LONGEST_KEY:
            argument = f"{argument[:_LONGEST_KEY]}…"
        return f"{name}({argument}) on instance {self.instance}"
