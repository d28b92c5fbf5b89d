"""What a scenario is given: a service, faults to bring about, and waiting for what must follow."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from formal_cluster.model import Grade
from formal_cluster_failover import judgement
from formal_cluster_failover.client import ERRORS, Client
from formal_cluster_failover.history import Outcome
from formal_cluster_failover.instance import Instance
from formal_cluster_failover.judgement import Counted
from formal_cluster_failover.recorder import Recorder
from formal_cluster_failover.service import Service

_CALM_S = 2.0
_STEADY_S = 1.5
_POLL_S = 0.1


class DidNotHold(AssertionError):
    """Something that must follow did not follow in time."""


@dataclass(frozen=True, slots=True)
class Target:
    """The most seconds that something may take on one machine; None where nothing is promised."""

    eventual_s: float | None = None
    strict_s: float | None = None
    took_s: float | None = None


@dataclass(frozen=True, slots=True)
class Measure:
    """What one step of a scenario took. See `judgement.Effect`.

    Attributes:
        took_s: Seconds until what the step is about was done.
    """

    what: str
    target: Target
    eventual_s: float | None = None
    strict_s: float | None = None
    took_s: float | None = None
    refused_eventual: int = 0
    refused_strict: int = 0

    @property
    def is_met(self) -> bool:
        """Whether no target was missed."""
        pairs = (
            (self.eventual_s, self.target.eventual_s),
            (self.strict_s, self.target.strict_s),
            (self.took_s, self.target.took_s),
        )
        return all(most is None or (took is not None and took <= most) for took, most in pairs)


@dataclass(slots=True)
class Run:
    """One run of a scenario."""

    service: Service
    client: Client
    recorder: Recorder
    measures: list[Measure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    audited: dict[str, Counted] = field(default_factory=dict)

    # ── instances ────────────────────────────────────────────────────────────────────────────

    @property
    def running(self) -> list[Instance]:
        """The instances that run."""
        return [instance for instance in self.service.instances if instance.running]

    async def cluster(self, size: int, *, voters: int | None = None) -> list[Instance]:
        """A cluster of so many instances, in calm operation and under load."""
        instances = self.service.launch(size)
        await self.until_members(instances, voters=voters or odd(size))
        await self.record(instances)
        return instances

    async def record(self, instances: Sequence[Instance]) -> None:
        """Begin to record these, and wait until all is well with them."""
        await self.recorder.block_sentinel(instances[0])
        for instance in instances:
            self.recorder.add(instance)
        await self.until_right(instances, within_s=60)
        await asyncio.sleep(_CALM_S)

    async def leader(self) -> Instance:
        """The instance whose etcd leads."""
        for instance in self.running:
            body = await self.client.cluster(instance)
            for other in self.service.instances:
                if body["leader"] == other.id and other.running:
                    return other
        raise DidNotHold("nobody knows of a leader")

    async def followers(self) -> list[Instance]:
        """Those that run and do not lead."""
        leader = await self.leader()
        return [instance for instance in self.running if instance is not leader]

    async def members(self, instance: Instance, role: str) -> set[str]:
        """Ids of the healthy members in a role, as an instance sees them."""
        body = await self.client.cluster(instance)
        return {m["id"] for m in body["members"] if m["role"] == role and m["healthy"]}

    # ── faults ───────────────────────────────────────────────────────────────────────────────

    @asynccontextmanager
    async def fault(
        self,
        what: str,
        watch: Sequence[Instance],
        target: Target | None = None,
        *,
        within_s: float = 120,
    ) -> AsyncIterator[None]:
        """Do something to the cluster inside; what it does to the `watch`ed is measured.

        Ends when everything asked of them is answered, and rightly, for a while.
        """
        since = time.monotonic()
        yield
        done = time.monotonic()
        await self.until_right(watch, within_s=within_s, began=done)
        names = [instance.name for instance in watch]
        until = time.monotonic()
        effect = judgement.effect(self.recorder.history, since, until, names)
        self.measures.append(
            Measure(
                what,
                target or Target(),
                eventual_s=effect.eventual_s,
                strict_s=effect.strict_s,
                refused_eventual=effect.refused_eventual,
                refused_strict=effect.refused_strict,
            )
        )

    @asynccontextmanager
    async def timed(self, what: str, target: Target | None = None) -> AsyncIterator[None]:
        """How long what is done inside takes."""
        since = time.monotonic()
        yield
        took = time.monotonic() - since
        self.measures.append(Measure(what, target or Target(), took_s=took))

    async def stays_refused(self, instances: Sequence[Instance], for_s: float) -> None:
        """Make sure that no strict hit is admitted there, and that they do say so.

        Raises:
            DidNotHold: One was, or one claims that all is well.
        """
        since = time.monotonic()
        await asyncio.sleep(for_s)
        names = {instance.name for instance in instances}
        for hit in self.recorder.history.hits:
            asked = hit.instance in names and hit.began > since and hit.grade is Grade.STRICT
            if asked and hit.outcome is Outcome.ADMITTED:
                raise DidNotHold(f"{hit.instance} admitted a strict hit without a quorum")
        for instance in instances:
            state = (await self.client.cluster(instance))["state"]
            if state == "clustered":
                raise DidNotHold(f"{instance.name} says {state}, without a quorum")

    # ── waiting ──────────────────────────────────────────────────────────────────────────────

    async def until(
        self, what: str, condition: Callable[[], Awaitable[bool]], within_s: float
    ) -> None:
        """Poll a condition. An instance that does not answer counts as no.

        Raises:
            DidNotHold: It did not come true in time.
        """
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            with contextlib.suppress(*ERRORS):
                if await condition():
                    return
            await asyncio.sleep(_POLL_S)
        raise DidNotHold(f"not within {within_s:.0f} s: {what}\n{await self._conditions()}")

    async def until_members(
        self,
        instances: Iterable[Instance],
        *,
        voters: int,
        learners: int = 0,
        within_s: float = 240,
    ) -> None:
        """Wait until all of these are clustered and see so many healthy members."""

        async def all_see_them() -> bool:
            for instance in instances:
                if (await self.client.cluster(instance))["state"] != "clustered":
                    return False
                if len(await self.members(instance, "voter")) != voters:
                    return False
                if len(await self.members(instance, "learner")) != learners:
                    return False
            return True

        await self.until(f"{voters} voters, {learners} learners", all_see_them, within_s)

    async def until_member(
        self, instance: Instance, seen_by: Iterable[Instance], within_s: float = 240
    ) -> None:
        """Wait until an instance is a synced member in the eyes of all of these."""

        async def it_is() -> bool:
            body = await self.client.cluster(instance)
            if body["state"] != "clustered" or body["store"]["role"] == "client":
                return False
            for other in seen_by:
                both = await self.members(other, "voter") | await self.members(other, "learner")
                if instance.id not in both:
                    return False
            return True

        await self.until(f"{instance.name} is a member", it_is, within_s)

    async def until_right(
        self,
        instances: Sequence[Instance],
        *,
        within_s: float,
        began: float | None = None,
    ) -> None:
        """Wait until everything asked of these has been right for a while."""
        names = [instance.name for instance in instances]
        earliest = (began if began is not None else time.monotonic()) + _STEADY_S

        async def is_right() -> bool:
            now = time.monotonic()
            return now >= earliest and judgement.is_right_again(
                self.recorder.history, now, names, _STEADY_S
            )

        await self.until(f"all answers of {', '.join(names)} are right", is_right, within_s)

    async def until_ended(self, instance: Instance, within_s: float = 30) -> None:
        """Wait until an instance that was told to stop has ended, with status 0.

        Raises:
            DidNotHold: It runs on, or ended otherwise.
        """

        async def has_ended() -> bool:
            return instance.exit_status() is not None

        await self.until(f"{instance.name} has stopped", has_ended, within_s)
        if instance.exit_status() != 0:
            raise DidNotHold(f"{instance.name} ended with status {instance.exit_status()}")

    async def _conditions(self) -> str:
        lines = []
        for instance in self.running:
            try:
                body: Any = await self.client.cluster(instance)
            except ERRORS as error:
                body = repr(error)
            lines.append(f"{instance.name} ({instance.id[-8:]}): {body}")
        return "\n".join(lines)

    # ── the reckoning ────────────────────────────────────────────────────────────────────────

    async def audit(self) -> None:
        """Stop hitting, let everyone settle, and count what every strict subject has."""
        instances = self.running
        await self.recorder.stop()

        async def settled() -> bool:
            bodies = [await self.client.cluster(instance) for instance in instances]
            return (
                all(body["state"] == "clustered" for body in bodies)
                and all(body["counters"]["pending"] == 0 for body in bodies)
                and len({body["counters"]["revision"] for body in bodies}) == 1
            )

        await self.until("all instances have the same counters", settled, within_s=240)
        history = self.recorder.history
        acknowledged = judgement.acknowledged(history)
        doubtful = judgement.doubts(history, {i.name: i.gone for i in self.service.instances})
        subjects = sorted({h.subject for h in history.hits if h.grade is Grade.STRICT})
        for number, subject in enumerate(subjects):
            instance = instances[number % len(instances)]
            seen = (await self.client.hit(instance, Grade.STRICT, subject)).value
            if seen is None:
                raise DidNotHold(f"{instance.name} refuses to count {subject} after all is well")
            self.audited[subject] = Counted(acknowledged[subject], doubtful[subject], seen - 1)


def odd(size: int) -> int:
    """The voters of a cluster of that size."""
    return size if size % 2 else max(1, size - 1)
