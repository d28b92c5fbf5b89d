"""How long a decision takes when accesses come at times of their own (open loop)."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict

from benchmarks.bench import Bars, Effort, Section, Table
from benchmarks.contestant import Contestant
from benchmarks.contestants import chosen
from benchmarks.fleet import Failures, fleet
from benchmarks.loops import Latencies, closed, opened
from benchmarks.stores import Stores, stores

_RATES = (500, 5_000)
_SECONDS = 1.0
_LIMIT = 500
_WARM_UP_S = 0.1

Found = dict[str, dict[int, list[Latencies]]]


def run(effort: Effort) -> Section:
    """Every contestant at each rate, one instance, round after round."""
    contestants = chosen(effort, few=True)
    found: Found = {contestant.name: defaultdict(list) for contestant in contestants}
    failures = Failures()
    with stores() as running:
        for _ in range(effort.rounds):
            for contestant in contestants:
                with failures.noted(contestant.name):
                    _visit(contestant, running, effort, found[contestant.name])
    found = {name: rates for name, rates in found.items() if not failures.of(name)}
    return Section(
        tables=[_table(rate, found) for rate in _RATES],
        charts=[_chart(rate, found) for rate in _RATES],
        rounds=effort.rounds,
        markdown=failures.markdown(),
        raw={
            name: {str(rate): [asdict(seen) for seen in rounds] for rate, rounds in rates.items()}
            for name, rates in found.items()
        },
    )


def _visit(
    contestant: Contestant, running: Stores, effort: Effort, found: dict[int, list[Latencies]]
) -> None:
    with fleet(contestant.name, running, instances=1) as one:
        one.all(closed, "Zipf", "warm", 500, callers=contestant.callers, seconds=_WARM_UP_S)
        for rate in _RATES:
            found[rate] += one.all(
                opened,
                "Zipf",
                str(rate),
                _LIMIT,
                per_second=rate,
                seconds=effort.seconds(_SECONDS),
            )


def _middle(rounds: Sequence[Latencies], part: str) -> float | None:
    """The median over the rounds; None if it fell behind in any."""
    values: list[float | None] = [getattr(seen, part) for seen in rounds]
    known = [value for value in values if value is not None]
    return statistics.median(known) if len(known) == len(values) else None


def _milliseconds(value_us: float | None) -> str:
    return "—" if value_us is None else f"{value_us / 1e3:,.3f}"


def _table(rate: int, found: Found) -> Table:
    rows = []
    for name, rates in found.items():
        rounds = rates[rate]
        parts = [_middle(rounds, part) for part in ("p50_us", "p99_us", "p999_us")]
        achieved = statistics.median(seen.achieved for seen in rounds)
        rows.append([name, *map(_milliseconds, parts), f"{achieved / rate:.0%}"])
    return Table(
        f"{rate:,} accesses per second offered to one instance, Zipf, limit {_LIMIT}",
        ["contestant", "p50 ms", "p99 ms", "p99.9 ms", "answered"],
        rows,
        note="From the moment an access was due to its answer. —: accesses were answered more "
        "slowly than they came, so the waiting has no end.",
    )


def _chart(rate: int, found: Found) -> Bars:
    return Bars(
        f"latency-{rate}",
        f"Latency of a decision at {rate:,} per second (one instance)",
        "microseconds, logarithmic",
        ["p50", "p99", "p99.9"],
        [
            (
                name,
                [_middle(rates[rate], part) for part in ("p50_us", "p99_us", "p999_us")],
            )
            for name, rates in found.items()
        ],
    )
