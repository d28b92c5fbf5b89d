"""What a subject takes: in the store, and in an instance that keeps it in memory.

Subjects with five accesses each, as many as can be counted in a few seconds. The join of an
instance and a million subjects of ours are measured by themselves.
"""

from __future__ import annotations

import asyncio
import gc
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.bench import Bars, Effort, Section, Table
from benchmarks.contestant import Contestant, Store
from benchmarks.contestants import chosen
from benchmarks.fleet import Failures, Instance, fleet
from benchmarks.stores import Stores, stores

_SECONDS = 2.0
_HITS = 5
_MOST_SUBJECTS = 100_000
_SETTLE_EVERY = 1_000
_SETTLES_WITHIN_S = 1.0
_WARM_UP_S = 0.2


@dataclass(frozen=True, slots=True)
class Held:
    """By one subject, in bytes; of how many subjects it is the mean."""

    subjects: int
    in_store: float
    in_instance: float


def run(effort: Effort) -> Section:
    """Each contestant once, in an instance that holds nothing else."""
    found: dict[str, Held] = {}
    failures = Failures()
    with stores() as running:
        for contestant in chosen(effort, few=True):
            if contestant.limits:
                with failures.noted(contestant.name):
                    found[contestant.name] = _measured(
                        contestant, running, effort.seconds(_SECONDS)
                    )
    return Section(
        tables=[
            Table(
                f"Bytes a subject with {_HITS} accesses",
                ["contestant", "subjects", "in the store", "in each instance"],
                [[n, f"{h.subjects:,}", *_figures(h)] for n, h in found.items()],
                note="Growth of Redis' data set or etcd's database, and of the instance's resident "
                "memory. etcd's holds history that is yet to be compacted; ours keeps what "
                "the batches of the last minutes were, and a snapshot.",
            )
        ],
        charts=[
            Bars(
                "bytes-a-subject",
                f"Bytes a subject with {_HITS} accesses",
                "bytes, logarithmic",
                ["in the store", "in each instance"],
                [(n, [max(h.in_store, 0), max(h.in_instance, 0)]) for n, h in found.items()],
            )
        ],
        markdown=failures.markdown(),
        raw={name: asdict(held) for name, held in found.items()},
    )


def _measured(contestant: Contestant, running: Stores, seconds: float) -> Held:
    stores_used = {Store.REDIS: running.redis, Store.ETCD: running.etcd}
    store = stores_used.get(contestant.store)
    with fleet(contestant.name, running, instances=1) as one:
        before = store.bytes_held() if store else 0
        [(subjects, grown)] = one.all(fill, callers=contestant.callers, seconds=seconds)
        if store:
            time.sleep(_SETTLES_WITHIN_S)
        after = store.bytes_held() if store else 0
    return Held(subjects, (after - before) / subjects, grown / subjects)


async def fill(instance: Instance, *, callers: int, seconds: float) -> tuple[int, int]:
    """Count five accesses of new subjects until time is up: how many, and what they took."""
    await _fill(instance, "warm", callers, _WARM_UP_S)
    gc.collect()
    before = _resident_bytes()
    subjects = await _fill(instance, "user", callers, seconds)
    gc.collect()
    return subjects, _resident_bytes() - before


async def _fill(instance: Instance, tag: str, callers: int, seconds: float) -> int:
    now, later, settled = instance.limiter.now, instance.limiter.later, instance.limiter.settled
    end = time.monotonic() + seconds
    subjects = 0

    async def count(subject: str) -> None:
        assert later is not None
        for _ in range(_HITS):
            await later(subject, _HITS)

    while subjects < _MOST_SUBJECTS and time.monotonic() < end:
        some = [f"{tag}{number}" for number in range(subjects, subjects + callers)]
        if now is None:
            await asyncio.gather(*map(count, some))
        else:
            for subject in some * _HITS:
                now(subject, _HITS)
        subjects += len(some)
        if settled is not None and not subjects % _SETTLE_EVERY:
            await settled()
    if settled is not None:
        await settled()
    return subjects


def _figures(held: Held) -> list[str]:
    # Memory that was freed before can be used again: growth is not negative, then, but nothing.
    return [f"{max(0.0, bytes_):,.0f}" for bytes_ in (held.in_store, held.in_instance)]


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
