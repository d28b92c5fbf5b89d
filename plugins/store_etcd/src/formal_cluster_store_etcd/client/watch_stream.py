"""One watch stream on one member: opened, read, and given up when it falls silent."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Final

from formal_cluster.errors import Unavailable
from formal_cluster_store_etcd.client import rpc
from formal_cluster_store_etcd.client.endpoints import Link
from formal_cluster_store_etcd.client.outcome import outcome

_PROGRESS_EVERY_S: Final = 1.0
_SILENT_S: Final = 2.5
_PROGRESS: Final = rpc.WatchRequest(progress_request=rpc.WatchProgressRequest())


class WatchStream:
    """A stream with a single watch on it.

    While a reader waits, one progress request a second makes a live member answer. A reader that
    has waited longer than `_SILENT_S` for anything at all means that the stream is dead.

    Raises:
        Unavailable: The connection is being closed.
    """

    def __init__(self, link: Link) -> None:
        self._where = link.where
        with outcome(link.where, write=False):
            self._call = link.watch.Watch(metadata=rpc.REQUIRE_LEADER)
        self._waiting_since: float | None = None
        self._pulse: asyncio.Task[None] | None = None

    async def open(self, create: rpc.Message) -> rpc.Message:
        """Create the watch; the member's first response.

        Raises:
            Unavailable: The member did not answer.
            StoreError: The member refuses the watch for good.
        """
        try:
            async with asyncio.timeout(_SILENT_S):
                # A call that is over already says why when it is read.
                with outcome(self._where, write=False), suppress(asyncio.InvalidStateError):
                    await self._call.write(rpc.WatchRequest(create_request=create))
                response = await self.read()
        except TimeoutError as error:
            raise Unavailable(f"etcd at {self._where} did not answer the watch request") from error
        self._pulse = asyncio.create_task(self._keep_pulse())
        return response

    async def read(self) -> rpc.Message:
        """The next response.

        Raises:
            Unavailable: The stream is lost.
            StoreError: The member refuses the watch for good.
        """
        self._waiting_since = time.monotonic()
        with outcome(self._where, write=False):
            response = await self._call.read()
        self._waiting_since = None
        if response is rpc.EOF:
            raise Unavailable(f"etcd at {self._where} ended the watch stream")
        return response

    async def aclose(self) -> None:
        """End the stream. Idempotent."""
        self._call.cancel()
        if self._pulse is not None:
            self._pulse.cancel()
            await asyncio.wait([self._pulse])

    async def _keep_pulse(self) -> None:
        while True:
            await asyncio.sleep(_PROGRESS_EVERY_S)
            since = self._waiting_since
            if since is None:
                continue  # the consumer is busy; what has arrived meanwhile waits in the stream
            if time.monotonic() - since > _SILENT_S:
                self._call.cancel()
                return
            try:
                async with asyncio.timeout(_SILENT_S):
                    await self._call.write(_PROGRESS)
            except (rpc.AioRpcError, asyncio.InvalidStateError, TimeoutError):
                return  # the call is over, which the reader is told too
