"""Runs scripts over the connections, and says truthfully what became of them."""

from __future__ import annotations

import contextlib
import time
from typing import Final

from formal_cluster.errors import NotWritable, OutcomeUnknown, Unavailable
from formal_cluster_store_redis_test.errors_map import Refused, map_refusal
from formal_cluster_store_redis_test.knowledge import Knowledge
from formal_cluster_store_redis_test.link import Answered, Link, Lost, Reply
from formal_cluster_store_redis_test.links import Links
from formal_cluster_store_redis_test.scripts import SWEEP, Script
from formal_cluster_store_redis_test.settings import RedisTestSettings

_SWEEPING_S: Final = 5.0
"""Longest wait of a read for the deletion of what has run out."""


class Precondition(Exception):
    """A script found that it must not go on; the error's code and what it found."""

    def __init__(self, code: str, found: str) -> None:
        super().__init__(f"{code} {found}")
        self.code = code
        self.found = found


_PRECONDITIONS: Final = ("CONFLICT", "FORGOTTEN", "DUE")
_VET_AGAIN: Final = ("OTHERSTORE", "READONLY")
"""The server is not what it was when the connections were made."""


class Calls:
    """Requests to a store. Each is to the store that was known when it began, or fails."""

    def __init__(self, settings: RedisTestSettings, links: Links, knowledge: Knowledge) -> None:
        self._links = links
        self._knowledge = knowledge
        self._history = settings.history_changes
        self._age_us = round(settings.history_s * 1_000_000)

    async def read(self, script: Script, *arguments: bytes | str | int) -> Reply:
        """Run a script that changes nothing.

        Raises:
            Unavailable: The store did not answer.
            Precondition: As the script says.
        """
        deadline = time.monotonic() + _SWEEPING_S
        while time.monotonic() < deadline:
            try:
                return await self._run(script, *arguments, write=False)
            except Precondition as found:
                if found.code != "DUE":
                    raise
            with contextlib.suppress(OutcomeUnknown):
                await self.sweep()
        raise Unavailable(f"Redis at {self._links.where}: keys ran out all the while; try again")

    async def write(self, script: Script, *arguments: bytes | str | int) -> Reply:
        """Run a script that changes something.

        Raises:
            Unavailable: Certainly not applied.
            OutcomeUnknown: Perhaps applied.
            NotWritable: Refused until an operator acts.
            Precondition: As the script says.
        """
        try:
            return await self._run(script, *arguments, write=True)
        except Refused as refusal:
            raise NotWritable(str(refusal)) from refusal

    async def sweep(self) -> None:
        """Delete what has run out and forget history that is too old.

        Raises:
            Unavailable: Not done; also when Redis takes no writes.
            OutcomeUnknown: Perhaps done.
        """
        try:
            await self.write(SWEEP, self._history, self._age_us)
        except NotWritable as refusal:
            raise Unavailable(f"keys that ran out cannot be deleted: {refusal}") from refusal

    async def _run(self, script: Script, *arguments: bytes | str | int, write: bool) -> Reply:
        known = self._knowledge.cluster
        async with self._links.lent() as link:
            if known not in (None, link.cluster):
                raise Unavailable(
                    f"Redis at {self._links.where} has another store than when the request was "
                    "made; nothing was done: read anew, and decide on what is there now"
                )
            return await self._ask(link, script, *arguments, write=write)

    async def _ask(
        self, link: Link, script: Script, *arguments: bytes | str | int, write: bool
    ) -> Reply:
        try:
            return await link.run(script, link.cluster, *arguments)
        except Answered as answer:
            code, _, found = str(answer).partition(" ")
            if code in _PRECONDITIONS:
                raise Precondition(code, found) from None
            if code in _VET_AGAIN:
                await link.close()
                await self._links.hang_up_idle()
            raise map_refusal(str(answer), where=self._links.where, write=write) from answer
        except Lost as lost:
            await self._links.hang_up_idle()
            message = f"Redis at {self._links.where}: {lost}"
            if write:
                raise OutcomeUnknown(
                    f"{message}; the change may have been made, read the key to know"
                ) from lost
            raise Unavailable(message) from lost
