"""Blocking calls in a bounded number of threads, each of which can be given up at any time."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from formal_cluster_discovery_k8s.interrupts import Interrupt, Interrupted

T = TypeVar("T")


class Threads:
    """Runs at most `limit` calls at once; further ones wait for their turn.

    The threads are daemons: one that still waits for a server when the process ends does not hold
    it up. A call that was given up keeps its place until its thread has ended.
    """

    def __init__(self, limit: int) -> None:
        self._places = asyncio.Semaphore(limit)
        self._running: dict[Interrupt, asyncio.Future[Any]] = {}
        self._closed = False

    async def run(self, call: Callable[[Interrupt], T]) -> T:
        """The result of `call`, which has to obey the interrupt that it is handed.

        It is interrupted when the awaiting task is cancelled.

        Raises:
            Interrupted: `aclose` was called.
        """
        await self._places.acquire()
        if self._closed:
            self._places.release()
            raise Interrupted
        interrupt = Interrupt()
        outcome: concurrent.futures.Future[T] = concurrent.futures.Future()
        ended = asyncio.wrap_future(outcome)
        self._running[interrupt] = ended

        thread = threading.Thread(
            target=_work, args=(call, interrupt, outcome), name="formal-cluster-k8s", daemon=True
        )

        def settle(_: object) -> None:
            thread.join()  # it is about to end: setting the outcome was the last that it did
            del self._running[interrupt]
            self._places.release()
            ended.exception()  # maybe nobody else looks at it any more

        ended.add_done_callback(settle)
        thread.start()
        try:
            return await asyncio.shield(ended)
        except asyncio.CancelledError:
            interrupt.raise_()
            raise

    async def aclose(self, patience_s: float) -> None:
        """Interrupt all calls, and wait until they have ended, but at most so many seconds.

        No further call is begun.
        """
        self._closed = True
        for interrupt in self._running:
            interrupt.raise_()
        if self._running:
            await asyncio.wait(self._running.values(), timeout=patience_s)


def _work(
    call: Callable[[Interrupt], T], interrupt: Interrupt, outcome: concurrent.futures.Future[T]
) -> None:
    outcome.set_running_or_notify_cancel()
    try:
        outcome.set_result(call(interrupt))
    except BaseException as error:  # noqa: BLE001  it is raised where it is awaited
        outcome.set_exception(error)
