"""Rule: an instance that has just been started.

A driver that fills a memory of its own from the store answers wrongly if it answers before that is
over. On a fast machine with few keys it is over at once; so there are many here, changed often.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from formal_cluster.errors import Conflict, OutcomeUnknown, StoreError, Unavailable
from formal_cluster.model import Capability, Entry
from formal_cluster.protocols import StateStore
from formal_cluster_conformance.bed import Bed, expect, holds
from formal_cluster_conformance.calls import Traced, named
from formal_cluster_conformance.results import Violation
from formal_cluster_conformance.rules import rule

_T = TypeVar("_T")
_NEWCOMER: Final = 1
_AT_ONCE: Final = 25
_TO_AND_FRO: Final = 10
_AGAIN_S: Final = 0.001


@rule(
    "ST-START-01",
    "An instance that has just been started misses nothing acknowledged before: from the moment "
    "`start` returns it answers reads, listings and conditions as every other, or refuses them "
    "with Unavailable.",
    needs=[Capability.SHARED, Capability.LINEARIZABLE_READS],
    instances=2,
    deadline_s=120,
)
async def misses_nothing(bed: Bed) -> None:
    """Asked at once from many sides, while another instance goes on writing."""
    writer, _ = await bed.two()
    for round_ in range(bed.size(2, 5)):
        below = bed.key(f"{round_}/")
        entries = await _written(writer, below, bed.size(250, 1_000))
        compared = await _written(writer, bed.key(f"{round_}-compared/"), _AT_ONCE)
        newest = list(entries)[-_AT_ONCE:]
        asked = {*newest, *bed.random.sample(sorted(entries), _AT_ONCE)}
        newcomer = _Newcomer(await bed.site.restarted(_NEWCOMER), bed.declaration.recovery_s)
        async with asyncio.TaskGroup() as group:
            for key in asked:
                group.create_task(newcomer.reads(key, entries[key]))
            group.create_task(newcomer.lists(below, entries))
            if Capability.COMPARE_AND_SWAP in writer.capabilities:
                for key, entry in compared.items():
                    group.create_task(newcomer.compares(key, entry))
            group.create_task(newcomer.follows(writer, bed.key("to-and-fro")))
        bed.evidence.operations += len(asked) + len(compared) + _TO_AND_FRO + 1


async def _written(writer: StateStore, below: bytes, count: int) -> dict[bytes, Entry | None]:
    """Keys that were written twice, or written and deleted; what they are now, oldest first."""
    keys = [below + b"%05d" % number for number in range(count)]

    async def change(number: int, key: bytes) -> Entry | None:
        await writer.put(key, b"old")
        if number % 10 == 0:
            await writer.delete(key)
            return None
        return Entry(key, b"new", await writer.put(key, b"new"))

    entries: list[Entry | None] = []
    for begin in range(0, count, _AT_ONCE):
        some = enumerate(keys[begin : begin + _AT_ONCE], begin)
        entries += await asyncio.gather(*(change(number, key) for number, key in some))
    return dict(zip(keys, entries, strict=True))


class _Newcomer:
    """A driver whose `start` has just returned. It need not serve yet, but must not be wrong."""

    def __init__(self, driver: Traced, recovery_s: float) -> None:
        self._driver = driver
        self._recovery_s = recovery_s
        self._who = f"on instance {driver.instance}, which has just been started"

    async def reads(self, key: bytes, expected: Entry | None) -> None:
        """What a key was before it was started, it still is."""
        entry = await self._answered(lambda: self._driver.get(key))
        expect(expected, entry, f"get({key!r}) {self._who}")

    async def lists(self, below: bytes, expected: dict[bytes, Entry | None]) -> None:
        """So it is with all keys together."""
        listing = await self._answered(lambda: self._driver.list(below))
        present = {key: entry for key, entry in expected.items() if entry is not None}
        listed = {entry.key: entry for entry in listing.entries}
        wrong = [key for key in expected if present.get(key) != listed.get(key)]
        holds(
            not wrong and len(listed) == len(present),
            f"list({below!r}) {self._who}: {len(listed)} keys, expected {len(present)}; "
            f"{len(wrong)} of them are missing, old, or deleted, such as {wrong[:3]!r}",
        )

    async def compares(self, key: bytes, before: Entry | None) -> None:
        """A condition is held against what the key was before it was started."""
        revision = 0 if before is None else before.revision
        what = f"put({key!r}, if_revision=…) {self._who}"
        try:
            await self._answered(lambda: self._driver.put(key, b"no", if_revision=revision + 1))
        except Conflict as conflict:
            holds(
                conflict.actual in (None, revision),
                f"{what}: Conflict.actual is {conflict.actual}, the key is at {revision}",
            )
        else:
            raise Violation(f"{what}: {revision + 1} did not conflict, the key is at {revision}")
        try:
            await self._answered(
                lambda: self._driver.put(key, b"yes", if_revision=revision), again=(Unavailable,)
            )
        except OutcomeUnknown:
            return  # made or not: asked again it would rightly conflict with itself
        except Conflict as conflict:
            raise Violation(f"{what}: {revision}, where the key is, raised {conflict!r}") from None

    async def follows(self, writer: StateStore, key: bytes) -> None:
        """What another instance writes from now on it reads at once."""
        for number in range(_TO_AND_FRO):
            value = b"%d" % number
            # As the newcomer may be a node, the writer may be held up, too.
            revision = await self._answered(lambda value=value: writer.put(key, value))  # type: ignore[misc]
            await self.reads(key, Entry(key, value, revision))

    async def _answered(
        self,
        call: Callable[[], Awaitable[_T]],
        again: tuple[type[StoreError], ...] = (Unavailable, OutcomeUnknown),
    ) -> _T:
        """What a call gives as soon as it is served."""
        last = "it has not returned"
        try:
            async with asyncio.timeout(self._recovery_s):
                while True:
                    try:
                        return await call()
                    except again as error:
                        last = f"{error!r} from {named(error)}"
                        await asyncio.sleep(_AGAIN_S)
        except TimeoutError as timeout:
            raise Violation(
                f"no answer {self._who}, within {self._recovery_s:g} s (`recovery_s` of the "
                f"declaration): {last}; {named(timeout)}"
            ) from timeout
