"""Discovery for a store that finds its servers by itself: this process, and nobody else.

Used when no discovery is configured and the store needs none (`DriverSettings.needs_discovery`).
The instance's id is `instance.id`, else the host name, which platforms make unique per task or pod.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator

from formal_cluster.model import Instance, InstanceState, View


class Alone:
    """Knows this process only, and does not claim that there are no others."""

    def __init__(self, instance_id: str | None, hostname: str | None = None) -> None:
        host = hostname or socket.gethostname()
        self._me = Instance(id=instance_id or host, address=host, state=InstanceState.RUNNING)

    async def identify(self) -> Instance:
        """This process, at its host name."""
        return self._me

    async def discover(self) -> View:
        """This process. Incomplete: nothing may be concluded from who is missing."""
        return View((self._me,), complete=False)

    async def watch(self) -> AsyncGenerator[View, None]:
        """The same view, once."""
        yield await self.discover()
        await asyncio.Event().wait()

    async def aclose(self) -> None:
        """Nothing to release."""
