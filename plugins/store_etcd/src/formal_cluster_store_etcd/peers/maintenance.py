"""Carries out what `planning.maintenance` decides, while our member leads; warns on every instance.

A member does not answer while it is defragmented, and is not well until it answers again: so there
is never more than one at a time.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable
from typing import Final

from formal_cluster.errors import StoreError
from formal_cluster_store_etcd.client.cluster_api import ClusterApi
from formal_cluster_store_etcd.journal import Book, Journal
from formal_cluster_store_etcd.peers.cluster_watch import ClusterWatch
from formal_cluster_store_etcd.planning.maintenance import (
    NOSPACE,
    Compact,
    Defragment,
    Disarm,
    Observation,
    Rules,
    SeenDatabase,
    Task,
    Wait,
    plan,
    unwritable,
    warnings,
)
from formal_cluster_store_etcd.planning.members import Alarm, ClusterMember, in_sync
from formal_cluster_store_etcd.urls import Endpoint, endpoint_of

_TICK_S: Final = 2.0
_FIGURE: Final = re.compile(r"\d+ MiB")


class Maintenance:
    """Looks after the members' databases.

    Attributes:
        warnings: What an operator should look after, with the mend.
        unwritable: Why nothing can be written though a quorum answers, likewise; None if all can.

    Args:
        dry_run: Decide, and write it to the journal, but change nothing.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        *,
        rules: Rules,
        dry_run: bool,
        api: ClusterApi,
        watch: ClusterWatch,
        logger: logging.Logger,
        book: Book,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rules = rules
        self._dry_run = dry_run
        self._api = api
        self._watch = watch
        self._logger = logger
        self._journal = Journal(logger, "maintenance", book)
        self._clock = clock
        self._defragmented: dict[int, float] = {}
        self._cleared: set[int] = set()
        self._compacted_to = 0
        self.warnings: tuple[str, ...] = ()
        self.unwritable: str | None = None

    async def run(self) -> None:
        """Look after them until cancelled."""
        while True:
            self._warn()
            own = self._watch.leading
            if own is not None:
                await self._tend(own, endpoint_of(own.client_urls[0]))
            await asyncio.sleep(_TICK_S)

    def _warn(self) -> None:
        seen = self._watch.seen
        names = {member.id: self._watch.instance_of(member) for member in seen.members}
        said = warnings(seen.statuses, names, self._rules.quota)
        self.unwritable = "; ".join(unwritable(seen.statuses, names)) or None
        if {_subject(text) for text in said} - {_subject(text) for text in self.warnings}:
            self._logger.warning("the cluster needs to be looked after", extra={"warnings": said})
        self.warnings = said

    async def _tend(self, own: ClusterMember, endpoint: Endpoint) -> None:
        try:
            alarms = await self._api.alarms(endpoint)
        except StoreError as error:
            self._logger.debug("the alarms cannot be read", extra={"error": str(error)})
            return
        step = plan(self._observe(own, alarms))
        self._journal.write(step, step.evidence)
        if isinstance(step, Wait):
            return
        if self._dry_run:
            self._journal.refused("store.etcd.dry_run is set")
            return
        try:
            await self._carry_out(step, endpoint)
        except StoreError as error:
            self._journal.refused(str(error))
            return
        self._journal.done()

    def _observe(self, own: ClusterMember, alarms: tuple[Alarm, ...]) -> Observation:
        if not any(alarm.kind == NOSPACE for alarm in alarms):
            self._compacted_to, self._cleared = 0, set()
        seen = self._watch.seen
        newest = max((status.raft_index for status in seen.statuses.values()), default=0)
        databases = []
        for member in seen.members:
            status = seen.statuses.get(member.id)
            ended_at = self._defragmented.get(member.id)
            databases.append(
                SeenDatabase(
                    id=member.id,
                    name=self._watch.instance_of(member),
                    healthy=status is not None
                    and member.id in seen.healthy
                    and in_sync(status.raft_index, newest),
                    size=status.db_size if status is not None else 0,
                    in_use=status.db_in_use if status is not None else 0,
                    defragmented_s=None if ended_at is None else self._clock() - ended_at,
                    cleared=member.id in self._cleared,
                )
            )
        own_status = seen.statuses.get(own.id)
        revision = own_status.revision if own_status is not None else 0
        return Observation(
            own_member=own.id,
            databases=tuple(databases),
            alarms=alarms,
            revision=revision,
            # What was deleted since, perhaps by an operator, takes space until it is dropped too.
            compacted=0 < self._compacted_to >= revision,
            rules=self._rules,
        )

    async def _carry_out(self, step: Task, endpoint: Endpoint) -> None:
        match step:
            case Compact(revision=revision):
                await self._api.compact(endpoint, revision)
                self._compacted_to, self._cleared = revision, set()
            case Defragment(member_id=member_id):
                member = next(m for m in self._watch.seen.members if m.id == member_id)
                # Also when it fails: not to be tried again at once.
                self._defragmented[member_id] = self._clock()
                await self._api.defragment(endpoint_of(member.client_urls[0]))
                self._defragmented[member_id] = self._clock()
                self._cleared.add(member_id)
            case Disarm(alarm=alarm):
                await self._api.disarm(endpoint, alarm)
        await self._watch.look()


def _subject(warning: str) -> str:
    """A warning without its figures, so that a file that grows is not logged again and again."""
    return _FIGURE.sub("", warning)
