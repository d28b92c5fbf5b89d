"""Rules: windows slide; what is in them is never undercounted."""

from __future__ import annotations

from typing import Final

from formal_cluster_conformance.bed import Bed, expect, holds
from formal_cluster_conformance.counters.instances import (
    NEEDS,
    admissions,
    admitted,
    agree,
    instances,
    read,
    value,
)
from formal_cluster_conformance.results import Undecided, Violation
from formal_cluster_conformance.rules import rule

_LIMIT: Final = 5
_MINUTE_MS: Final = 60_000
_EARLY_MS: Final = 10_000
_SLACK_MS: Final = 2_000
"""Time goes on by itself while a rule works, and log time may be behind by a round trip."""


@rule(
    "CO-WINDOW-01",
    "At a window's edge no hit is admitted before the oldest one has left it, "
    "and each that leaves makes room for exactly one.",
    needs=NEEDS,
)
async def edges(bed: Bed) -> None:
    """Never twice the limit around an edge."""
    async with instances(bed) as group:
        counters, what = await group.three(), read("alice", "last_minute")
        clock = group.clock
        begun = clock.ms()
        early = await admissions(counters, what, 2, 10)
        expect(2, early, "hits admitted at the beginning")
        await agree(counters, what, 2)
        first = clock.ms()

        async def admit(expected: int, when: str, *, at: int, until: int) -> int:
            """Try at a time; when it was over. Until `until` nothing more leaves the window."""
            clock.advance(max(0, at - clock.ms()))
            try:
                count = await admissions(counters, what, _LIMIT, 30)
                expect(expected, count, f"hits admitted {when}")
                over = clock.ms()
                # Denied ones are taken back; until then others may be denied because of them.
                await agree(counters, what, _LIMIT)
            except Violation as violation:
                if clock.ms() > until:
                    raise Undecided(f"the machine is too slow to look {when}") from violation
                raise
            return over

        left = _MINUTE_MS + 2 * _SLACK_MS
        half = begun + _MINUTE_MS // 2
        second = await admit(3, "half a minute on", at=half, until=begun + _MINUTE_MS)
        edge = begun + _MINUTE_MS
        await admit(0, "before the first ones have left", at=edge - _EARLY_MS, until=edge)
        third = max(first + left, clock.ms())
        await admit(2, "after the first ones have left", at=third, until=half + _MINUTE_MS)
        last, until = second + left, third + _MINUTE_MS
        await admit(3, "after the next ones have left", at=last, until=until)


@rule(
    "CO-WINDOW-02",
    "A window never counts less than the hits in it, at whatever time they came "
    "and through whichever instance.",
    needs=NEEDS,
)
async def never_less(bed: Bed) -> None:
    """Random hits over several windows' time, held against a list."""
    async with instances(bed) as group:
        counters = await group.three()
        what, longer = read("alice", "last_minute"), read("alice", "last_10_minutes")
        begun, times = group.clock() // 1_000_000, list[int]()
        for _ in range(bed.size(60, 400)):
            group.clock.advance(bed.random.choice([0, 0, 10, 1_000, 5_000, 15_000]))
            now = group.clock() // 1_000_000 - begun
            counting = bed.random.choice(counters)
            if bed.random.random() < 0.7:
                await admitted(counting, longer, 1_000_000)
                times.append(now)
            for look, window_ms in ((what, _MINUTE_MS), (longer, 10 * _MINUTE_MS)):
                attempt = await counting.attempt_strict(look, deadline_s=10)
                counted = attempt.counts[0][0].value
                attempt.cancel()
                # Those that leave the window while the question is asked may be counted or not.
                inside = sum(now - at < window_ms - _SLACK_MS for at in times)
                holds(
                    counted >= inside,
                    f"{counted} hits are counted in {window_ms} ms, {inside} were made",
                )
        bed.evidence.operations += len(times)


@rule(
    "CO-WINDOW-03",
    "A window that is asked for by one instance counts the hits of all.",
    needs=NEEDS,
)
async def one_asks(bed: Bed) -> None:
    """From the hits that are still kept."""
    async with instances(bed) as group:
        counters = await group.three()
        for each in counters:
            await admitted(each, read("alice", "last_minute"), _LIMIT)
        for each in counters:
            await agree([each], read("alice", "last_30_seconds"), 3)
            holds(value(each, read("alice", "last_minute")) == 3, "the first window has changed")
