"""Keeps hitting counters on every running instance, and writes down what came of it.

Strict: subjects that are new all the time and hit from several instances at once, older ones that
must stay blocked, and one without a limit, which always goes through the log. Eventual: one subject
that was blocked before anything happened and must stay so, and new ones that must be admitted.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import deque
from collections.abc import Callable

from formal_cluster.model import Grade
from formal_cluster_failover.client import ERRORS, Client
from formal_cluster_failover.history import ARCHIVE, History, Hit, Outcome, Sighting
from formal_cluster_failover.instance import Instance

_PAUSE_S = 0.02
_SIGHTING_S = 0.4
_STRICT_AT_ONCE = 2
_HITS_PER_SUBJECT = 10
_ACTIVE = 4
_REMEMBERED = 60
SENTINEL = "sentinel"


class Recorder:
    """Records from `add` on, until `stop`.

    Args:
        seed: Of the order in which subjects are hit.
    """

    def __init__(self, client: Client, seed: int) -> None:
        self.history = History([], [])
        self._client = client
        self._random = random.Random(seed)
        self._numbers = itertools.count(1)
        self._active = [self._new_subject() for _ in range(_ACTIVE)]
        self._left = dict.fromkeys(self._active, _HITS_PER_SUBJECT)
        self._old: deque[str] = deque(maxlen=_REMEMBERED)
        self._tasks: list[asyncio.Task[None]] = []
        self._recorded: set[str] = set()
        self._stopping = False

    def add(self, instance: Instance) -> None:
        """Record an instance for as long as it runs, and again when it is started again."""
        if instance.name in self._recorded:
            return
        self._recorded.add(instance.name)
        parts = [self._see(instance), self._hit_eventually(instance)]
        parts += [self._hit_strictly(instance) for _ in range(_STRICT_AT_ONCE)]
        self._tasks += [asyncio.create_task(part) for part in parts]

    async def block_sentinel(self, instance: Instance) -> None:
        """Bring the sentinel over its limit."""
        for _ in range(10):
            await self._client.hit(instance, Grade.EVENTUAL, SENTINEL)

    async def stop(self) -> None:
        """Stop recording, when all hits under way are answered: each would be a doubt."""
        self._stopping = True
        await asyncio.gather(*self._tasks)

    async def _hit_strictly(self, instance: Instance) -> None:
        while not self._stopping:
            await self._record(instance, Grade.STRICT, self._strict_subject(), lambda _: True)

    async def _hit_eventually(self, instance: Instance) -> None:
        while not self._stopping:
            await self._record(instance, Grade.EVENTUAL, SENTINEL, Outcome.DENIED.__eq__)
            fresh = f"fresh-{next(self._numbers)}"
            await self._record(instance, Grade.EVENTUAL, fresh, Outcome.ADMITTED.__eq__)

    async def _record(
        self,
        instance: Instance,
        grade: Grade,
        subject: str,
        is_right: Callable[[Outcome], bool],
    ) -> None:
        if instance.running:
            began = time.monotonic()
            try:
                outcome = (await self._client.hit(instance, grade, subject)).outcome
            except ERRORS:
                outcome = Outcome.UNKNOWN
            self.history.hits.append(
                Hit(
                    began=began,
                    ended=time.monotonic(),
                    instance=instance.name,
                    grade=grade,
                    subject=subject,
                    outcome=outcome,
                    right=is_right(outcome),
                )
            )
        # The more instances there are, the less each is asked: the machine stays the same.
        await asyncio.sleep(_PAUSE_S * (1 + len(self._recorded)))

    def _strict_subject(self) -> str:
        draw = self._random.random()
        if draw < 0.5:
            return ARCHIVE
        if draw < 0.6 and self._old:
            return self._random.choice(self._old)
        subject = self._random.choice(self._active)
        self._left[subject] -= 1
        if not self._left[subject]:
            del self._left[subject]
            self._old.append(subject)
            new = self._new_subject()
            self._active[self._active.index(subject)] = new
            self._left[new] = _HITS_PER_SUBJECT
        return subject

    def _new_subject(self) -> str:
        return f"user-{next(self._numbers)}"

    async def _see(self, instance: Instance) -> None:
        while not self._stopping:
            if instance.running and not instance.leaving:
                try:
                    ready, _ = await self._client.ready(instance)
                    body = await self._client.cluster(instance)
                except ERRORS:
                    pass  # It starts, or has just been killed: then it says nothing.
                else:
                    self.history.sightings.append(
                        Sighting(
                            at=time.monotonic(),
                            instance=instance.name,
                            ready=ready,
                            state=str(body["state"]),
                            cluster_id=body["cluster_id"],
                        )
                    )
            await asyncio.sleep(_SIGHTING_S)
