"""How many decisions a second, for each load, limit and number of instances."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from benchmarks.bench import Bars, Effort, Section, Table
from benchmarks.contestant import Contestant, Store
from benchmarks.contestants import EVENTUAL, chosen
from benchmarks.fleet import Failures, Fleet, fleet
from benchmarks.loads import LOADS
from benchmarks.loops import Spent, closed
from benchmarks.stores import Stores, stores

_INSTANCES = 3
_LIMITS = (5, 500)
_SECONDS = 0.2
_WARM_UP_S = 0.1
_RANKED_BY = ("10,000 keys", 500)


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured in one go."""

    instances: int
    load: str
    limit: int


@dataclass(frozen=True, slots=True)
class Rate:
    """One round of a case: of all instances together, and by processor time.

    Attributes:
        per_core: Decisions for each second of processor time, of the instances and the store.
    """

    per_second: float
    per_core: float
    admitted: float


Rates = dict[str, dict[Case, list[Rate]]]


def run(effort: Effort) -> Section:
    """Every contestant in every case, round after round."""
    contestants, failures = chosen(effort), Failures()
    rates: Rates = {contestant.name: defaultdict(list) for contestant in contestants}
    with stores() as running:
        for _ in range(effort.rounds):
            for contestant in contestants:
                with failures.noted(contestant.name):
                    _visit(contestant, running, effort, rates[contestant.name])
    contestants = [c for c in contestants if not failures.of(c.name)]
    rates = {c.name: rates[c.name] for c in contestants}
    return Section(
        tables=[_ranking(contestants, rates), *_by_load(contestants, rates)],
        charts=_charts(contestants, rates),
        rounds=effort.rounds,
        markdown=failures.markdown(),
        raw={
            name: [{**asdict(case), "rounds": [asdict(r) for r in of]} for case, of in all_.items()]
            for name, all_ in rates.items()
        },
    )


def _visit(
    contestant: Contestant, running: Stores, effort: Effort, rates: dict[Case, list[Rate]]
) -> None:
    instances = _INSTANCES if contestant.store is not Store.NONE and contestant.limits else 1
    with fleet(contestant.name, running, instances=instances) as some:
        some.all(closed, "Zipf", "warm", 500, callers=contestant.callers, seconds=_WARM_UP_S)
        for count in sorted({1, instances}):
            for load in LOADS:
                for limit in _LIMITS:
                    case = Case(count, load, limit)
                    rates[case].append(
                        _measured(contestant, running, some, case, effort.seconds(_SECONDS))
                    )


def _measured(
    contestant: Contestant, running: Stores, some: Fleet, case: Case, seconds: float
) -> Rate:
    before = _cpu(contestant, running)
    spent: list[Spent] = some.first(
        case.instances,
        closed,
        case.load,
        f"{case.instances}/{case.limit}",
        case.limit,
        callers=contestant.callers,
        seconds=seconds,
    )
    cpu_s = _cpu(contestant, running) - before + sum(s.cpu_s for s in spent)
    decisions = sum(s.decisions for s in spent)
    return Rate(
        per_second=sum(s.rate for s in spent),
        # Short rounds can be below the resolution of the store's clock.
        per_core=decisions / max(cpu_s, 1e-3),
        admitted=sum(s.admitted for s in spent) / decisions,
    )


def _cpu(contestant: Contestant, running: Stores) -> float:
    if contestant.store is Store.NONE:
        return 0.0
    store = running.redis if contestant.store is Store.REDIS else running.etcd
    return store.cpu_s()


def median(rounds: Sequence[Rate]) -> float:
    """Of the rates."""
    return statistics.median(r.per_second for r in rounds)


def _spread(rounds: Sequence[Rate]) -> float:
    values = [r.per_second for r in rounds]
    return (max(values) - min(values)) / median(rounds)


def _ranking(contestants: Sequence[Contestant], rates: Rates) -> Table:
    load, limit = _RANKED_BY
    case = Case(1, load, limit)
    first = rates.get(EVENTUAL)
    rows = []
    for contestant in contestants:
        rounds = rates[contestant.name][case]
        rate = median(rounds)
        rows.append(
            [
                contestant.name,
                contestant.algorithm,
                contestant.store.value,
                str(contestant.callers),
                f"{rate:,.0f}",
                f"{_spread(rounds):.0%}",
                f"{statistics.median(r.per_core for r in rounds):,.0f}",
                f"{median(first[case]) / rate:.1f}" if first else "",
            ]
        )
    return Table(
        f"One instance, {load}, limit {limit}",
        [
            "contestant",
            "counts as",
            "store",
            "waiting",
            "decisions/s",
            "spread",
            "per core-second",
            f"{EVENTUAL} ÷ it",
        ],
        rows,
        note="Count only, but for the one with a policy. A core-second is processor time of the "
        "instance and the store together. Spread: (max − min) / median of the rounds.",
    )


def _by_load(contestants: Sequence[Contestant], rates: Rates) -> list[Table]:
    tables = []
    for instances in (1, _INSTANCES):
        rows = []
        for contestant in contestants:
            cases = rates[contestant.name]
            if Case(instances, LOADS[0], _LIMITS[0]) in cases:
                cells = [
                    f"{median(cases[Case(instances, load, limit)]):,.0f}"
                    for limit in _LIMITS
                    for load in LOADS
                ]
                rows.append([contestant.name, *cells])
        columns = [f"{load}, limit {limit}" for limit in _LIMITS for load in LOADS]
        plural = "instance" if instances == 1 else "instances together"
        tables.append(
            Table(f"Decisions per second, {instances} {plural}", ["contestant", *columns], rows)
        )
    return tables


def _charts(contestants: Sequence[Contestant], rates: Rates) -> list[Bars]:
    load, limit = _RANKED_BY
    groups = []
    for contestant in contestants:
        cases = rates[contestant.name]
        values = [
            median(cases[case]) if (case := Case(n, load, limit)) in cases else None
            for n in (1, _INSTANCES)
        ]
        groups.append((contestant.name, values))
    by_load = [
        (c.name, [median(rates[c.name][Case(1, name, limit)]) for name in LOADS])
        for c in contestants
    ]
    return [
        Bars(
            "throughput",
            f"Decisions per second ({load}, limit {limit})",
            "decisions per second, logarithmic",
            ["one instance", "three instances"],
            groups,
        ),
        Bars(
            "throughput-by-load",
            f"Decisions per second by load (one instance, limit {limit})",
            "decisions per second, logarithmic",
            LOADS,
            by_load,
        ),
    ]
