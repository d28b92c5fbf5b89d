"""Settings of the counters driver `log`."""

from __future__ import annotations

from pydantic import Field

from formal_cluster.counters.exactness import MOST_EXACT
from formal_cluster.counters.restoration import LONGEST_LIFE_MS
from formal_cluster.hookspecs import DriverSettings


class LogCountersSettings(DriverSettings):
    """`[counters.log]`"""

    flush_interval_ms: int = Field(
        default=35,
        ge=10,
        description="Shortest time between two batches of eventual hits of one instance, in "
        "milliseconds. Other instances see a hit about this much later.",
    )
    write_budget: float = Field(
        default=500,
        gt=0,
        description="Writes per second that all instances together may cause. With N instances "
        "that write, each waits N / write_budget seconds between batches, if that is longer than "
        "flush_interval_ms.",
    )
    exact_entries: int = Field(
        default=64,
        ge=1,
        le=10_000,
        description="How many of a subject's newest hits are kept one by one. Counts up to this "
        "are exact; larger ones may include hits up to 1/60 of the window older than it. A counter "
        "whose policies have a larger threshold keeps one more than the largest of them, up to "
        f"{MOST_EXACT:,}.",
    )
    reserve_life_ms: int = Field(
        default=LONGEST_LIFE_MS,
        ge=1,
        le=LONGEST_LIFE_MS,
        description="How long hits of a reserved counter may be spent after they were appended, in "
        "milliseconds; at most 1/60 of the shortest window. Each such hit counts this much longer.",
    )
    snapshot_interval_s: float = Field(
        default=30,
        gt=0,
        le=120,
        description="Seconds between two snapshots of all counters in the store. Must be far below "
        "the time that the store keeps its history (etcd: 5 minutes).",
    )
    clock_bound_ms: int = Field(
        default=250,
        ge=1,
        description="How far this instance's wall clock may be from the others' before it is "
        "reported, and is asked for the counters' time only after all others, in milliseconds.",
    )
    max_subjects: int = Field(
        default=1_000_000,
        ge=1,
        description="Most subjects (for example pairs of user and bucket) held at a time. Beyond "
        "it new subjects share one count per counter, so they may be limited too early.",
    )
    max_pending: int = Field(
        default=250_000,
        ge=1,
        description="Most subjects with hits that the store has not taken yet. Beyond it, while "
        "the store is away, accesses of further subjects are treated as the counter's on_degraded "
        "says.",
    )
