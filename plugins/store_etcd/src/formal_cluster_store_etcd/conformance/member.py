"""A member of an etcd that is operated elsewhere, and what its operator does when its disk is lost.

etcd takes a member that comes back empty under its old id for one that has acknowledged what it no
longer has; so it has to be removed and added again first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from formal_cluster_conformance import Address, NodeFailed, ProcessNode
from formal_cluster_store_etcd.conformance import gateway

_REPLACED_S: Final = 20.0
_RETRY_S: Final = 0.1


class Member(ProcessNode):
    """See `ProcessNode`.

    Args:
        peer: Its peer URL.
        others: Where the other members are reached.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        address: Address,
        *,
        data: Path,
        peer: str,
        others: Sequence[Address],
    ) -> None:
        super().__init__(name, command, address, data=data)
        self._peer = peer
        self._others = others

    async def restart(self, *, wipe: bool = False) -> None:
        """See `ProcessNode.restart`.

        Raises:
            NodeFailed: It runs, or the others have not accepted it without its disk.
        """
        if wipe:
            await self._replace()
            self.command += ["--initial-cluster-state", "existing"]
        await super().restart(wipe=wipe)

    async def _replace(self) -> None:
        last: ConnectionError | None = None
        old: str | None = None
        try:
            async with asyncio.timeout(_REPLACED_S):
                while True:
                    try:
                        old = old or await self._listed()
                        if await self._advance(old):
                            return
                    except ConnectionError as error:  # no leader yet, or another step was faster
                        last = error
                        await asyncio.sleep(_RETRY_S)
        except TimeoutError:
            raise NodeFailed(f"{self.name} could not be replaced: {last}") from None

    async def _advance(self, old: str | None) -> bool:
        """Remove the member of old, or add the new one; True if the new one is there."""
        listed = await self._listed()
        if listed is None:
            await gateway.ask(self._others, "cluster/member/add", peerURLs=[self._peer])
        elif listed == old:
            await gateway.ask(self._others, "cluster/member/remove", ID=old)
        else:
            return True
        return False

    async def _listed(self) -> str | None:
        """The id of the member with this peer URL."""
        answer = await gateway.ask(self._others, "cluster/member/list")
        members = [each for each in answer["members"] if self._peer in each.get("peerURLs", [])]
        return members[0]["ID"] if members else None
