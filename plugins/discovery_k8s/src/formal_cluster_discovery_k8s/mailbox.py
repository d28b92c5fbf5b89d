"""Hands values from a thread to a coroutine, in order and in batches, a bounded number at once.

A batch is all that has arrived since the last one was taken. So the busier the stream, the larger
the batches, and the less is paid for each value; and a consumer that falls behind makes the thread
wait, and through it the server.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Generic, TypeVar

from formal_cluster_discovery_k8s.interrupts import Interrupted

T = TypeVar("T")


class Mailbox(Generic[T]):
    """`put` in one thread, everything else in the event loop's."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._arrived = asyncio.Event()
        self._changed = threading.Condition()
        self._values: list[T] = []
        self._closed = False

    def put(self, value: T) -> None:
        """Add a value; waits while the mailbox is full.

        Raises:
            Interrupted: Nobody takes values any more.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._values) < self._limit)
            if self._closed:
                raise Interrupted
            self._values.append(value)
            if len(self._values) == 1:
                self._loop.call_soon_threadsafe(self._arrived.set)

    async def wait(self) -> None:
        """Until there is something to take, or `wake` is called."""
        await self._arrived.wait()

    def take(self) -> list[T]:
        """All values that are there, maybe none."""
        self._arrived.clear()
        with self._changed:
            taken, self._values = self._values, []
            self._changed.notify()
        return taken

    def wake(self) -> None:
        """End a `wait`."""
        self._arrived.set()

    def close(self) -> None:
        """Refuse further values."""
        with self._changed:
            self._closed = True
            self._changed.notify()
