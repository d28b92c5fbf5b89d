"""Discovery by a list that never changes, as the declarations need it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from formal_cluster.model import Instance, View


class Listed:
    """See `formal_cluster.protocols.Discovery`."""

    def __init__(self, me: Instance, view: View) -> None:
        self._me = me
        self._view = view

    async def identify(self) -> Instance:
        """This instance."""
        return self._me

    async def discover(self) -> View:
        """The list."""
        return self._view

    async def watch(self) -> AsyncGenerator[View, None]:
        """The list, and nothing after it."""
        yield self._view
        await asyncio.Event().wait()

    async def aclose(self) -> None:
        """Nothing is held."""
