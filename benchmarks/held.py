"""What a subject takes: in the store, and in an instance that keeps it in memory.

Subjects with five accesses each, as many as can be counted in a few seconds. The join of an
instance and a million subjects of ours are measured by themselves.
"""

from __future__ import annotations

import gc
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.bench import Bars, Effort, Section, Table
from benchmarks.contestant import Contestant, Store
from benchmarks.contestants import chosen
from benchmarks.fleet import Instance, fleet
from benchmarks.stores import Stores, stores

_SECONDS = 4.0
_HITS = 5
_MOST_SUBJECTS = 100_000
_SETTLES_WITHIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Held:
    """By one subject, in bytes; of how many subjects it is the mean."""

    subjects: int
    in_store: float
    in_instance: float


def run(effort: Effort) -> Section:
    """Each contestant once, in an instance that holds nothing else."""
    found: dict[str, Held] = {}
    with stores() as running:
        for contestant in chosen(effort):
            if contestant.limits:
                found[contestant.name] = _measured(contestant, running, effort.seconds(_SECONDS))
    return Section(
        tables=[
            Table(
                f"Bytes a subject with {_HITS} accesses",
                ["contestant", "subjects", "in the store", "in each instance"],
                [
                    [n, f"{h.subjects:,}", f"{h.in_store:,.0f}", f"{h.in_instance:,.0f}"]
                    for n, h in found.items()
                ],
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
        raw={name: asdict(held) for name, held in found.items()},
    )


def _measured(contestant: Contestant, running: Stores, seconds: float) -> Held:
    stores_used = {Store.REDIS: running.redis, Store.ETCD: running.etcd}
    store = stores_used.get(contestant.store)
    with fleet(contestant.name, running, instances=1) as one:
        before = store.bytes_held() if store else 0
        [(subjects, grown)] = one.all(fill, seconds=seconds)
        if store:
            time.sleep(_SETTLES_WITHIN_S)
        after = store.bytes_held() if store else 0
    return Held(subjects, (after - before) / subjects, grown / subjects)


async def fill(instance: Instance, *, seconds: float) -> tuple[int, int]:
    """Count five accesses of new subjects until time is up: how many, and what they took."""
    now, later = instance.limiter.now, instance.limiter.later
    gc.collect()
    before = _resident_bytes()
    end = time.monotonic() + seconds
    subjects = 0
    while subjects < _MOST_SUBJECTS and time.monotonic() < end:
        for _ in range(_HITS):
            if now is not None:
                now(f"user{subjects}", _HITS)
            else:
                assert later is not None
                await later(f"user{subjects}", _HITS)
        subjects += 1
        if instance.limiter.settled is not None and not subjects % 1_000:
            await instance.limiter.settled()
    if instance.limiter.settled is not None:
        await instance.limiter.settled()
    gc.collect()
    return subjects, _resident_bytes() - before


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
