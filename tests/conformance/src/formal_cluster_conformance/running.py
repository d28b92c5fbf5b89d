"""Runs rules: opens the backing system when it is needed, gives each rule its bed, and notes how
it went. One rule's failure never keeps the others from being tried."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import random
import tempfile
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Final

from formal_cluster.errors import OutcomeUnknown, Unavailable
from formal_cluster_conformance import tampering, versions
from formal_cluster_conformance.bed import Bed
from formal_cluster_conformance.calls import named
from formal_cluster_conformance.declaration import NotPossible, StoreDeclaration
from formal_cluster_conformance.discovery.bed import DiscoveryBed
from formal_cluster_conformance.discovery.declaration import DiscoveryDeclaration
from formal_cluster_conformance.results import (
    Evidence,
    Outcome,
    Results,
    Status,
    Undecided,
    Violation,
)
from formal_cluster_conformance.rules import PROFILES_OF, Profile, Rule, catalogue
from formal_cluster_conformance.site import Site, open_site

_OURS: Final = Path(__file__).parent
_LONGEST_DETAIL: Final = 4_000
_AWAY: Final = "the store was away though nothing was done to it"
_HOW_TO_WAIT: Final = (
    "If the system needs time until it can answer, the declaration waits for it: in `open`, and "
    "before faults in `Backing.settled`"
)
_TRIES: Final = 3
"""For a store that was away though nothing was done to it."""


@dataclass
class Run(ABC):
    """Rules tried one after the other on one declaration.

    Attributes:
        declared: What the driver promises: capabilities, or features of the platform below it.
        shared: What rules of one run keep for each other.
    """

    declaration: Any
    seed: int
    quick: bool = False
    declared: frozenset[str] = frozenset()
    shared: dict[str, Any] = field(default_factory=dict)
    started: datetime.datetime = field(default_factory=lambda: datetime.datetime.now(datetime.UTC))
    begun: float = field(default_factory=time.monotonic)

    kind: ClassVar[str]

    async def attempt(self, rule: Rule) -> Outcome:
        """Try one rule."""
        begun = time.monotonic()
        evidence, timeline = Evidence(), ""
        try:
            for number in range(_TRIES):
                async with self.bed(rule, number) as bed:
                    evidence = bed.evidence
                    status, detail, timeline = await _tried(rule, bed)
                if not detail.startswith(_AWAY):
                    break
        except NotPossible as answer:
            status, detail = Status.SKIPPED, str(answer)
        except Violation as violation:
            status, detail = Status.FAILED, str(violation)
        except Exception as error:  # noqa: BLE001  whatever it is, the other rules go on
            status, detail = Status.ERROR, _shown(_cause(error))
        if status in (Status.FAILED, Status.ERROR):
            with contextlib.suppress(Exception):  # it has been told by then what is wrong
                await self.close()
        if status is Status.PASSED and (unmet := [d for d in evidence.demands if not d.met]):
            status = Status.INCONCLUSIVE
            detail = "; ".join(f"{d.what}: {d.seen}, at least {d.at_least} wanted" for d in unmet)
        lacking = tuple(sorted(str(need) for need in rule.needs if need not in self.declared))
        if lacking and status is not Status.PASSED:
            status = Status.UNDECLARED
        return Outcome(rule, status, detail, timeline, time.monotonic() - begun, evidence, lacking)

    @abstractmethod
    def bed(self, rule: Rule, number: int) -> AbstractAsyncContextManager[Any]:
        """What the rule's check works with; another one for each try. Raises `NotPossible`."""

    async def close(self) -> None:  # noqa: B027  there may be nothing
        """End whatever is kept from rule to rule."""

    def dice(self, rule: Rule) -> random.Random:
        """The rule's own, so that it falls alike whichever rules are tried beside it."""
        return random.Random(f"{self.seed} {rule.id}")


@dataclass
class StoreRun(Run):
    """Rules tried on a store.

    The backing system is opened when a rule first needs it, and again after a rule that failed:
    what that one leaves behind is no other rule's concern.
    """

    kind: ClassVar[str] = "store"
    _stack: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)
    _site: Site | None = None

    @contextlib.asynccontextmanager
    async def bed(self, rule: Rule, number: int) -> AsyncIterator[Bed]:
        """See `Run.bed`."""
        site = await self._open()
        self._check_possible(rule)
        yield Bed(
            site,
            prefix=f"/conformance/{rule.id}/{number}/".encode(),
            random=self.dice(rule),
            quick=self.quick,
            seed=self.seed,
            shared=self.shared,
        )

    async def close(self) -> None:
        """End the backing system."""
        self._site = None
        await self._stack.aclose()

    async def _open(self) -> Site:
        if self._site is None:
            self._site = await self._stack.enter_async_context(open_site(self.declaration))
            # Of drivers that serve: what a system can promise, many know only when they have met
            # it. And of all, since core asks each for itself.
            drivers = await self._site.drivers(self.declaration.instances)
            self.declared = frozenset().union(*(driver.capabilities for driver in drivers))
        return self._site

    def _check_possible(self, rule: Rule) -> None:
        if rule.instances > self.declaration.instances:
            raise NotPossible(
                f"it takes {rule.instances} instances; declared: {self.declaration.instances}"
            )
        if missing := sorted(rule.faults - frozenset(self.declaration.faults)):
            raise NotPossible(
                f"it takes faults that are not declared to be possible: {', '.join(missing)}"
            )


@dataclass
class DiscoveryRun(Run):
    """Rules tried on a discovery driver, each on a platform of its own."""

    kind: ClassVar[str] = "discovery"

    @contextlib.asynccontextmanager
    async def bed(self, rule: Rule, number: int) -> AsyncIterator[DiscoveryBed]:
        """See `Run.bed`."""
        self.declared = frozenset(self.declaration.features)
        if lacking := sorted(str(need) for need in rule.needs if need not in self.declared):
            raise NotPossible(f"the platform is not like that: {', '.join(lacking)}")
        with tempfile.TemporaryDirectory(prefix="conformance-") as directory:
            async with contextlib.AsyncExitStack() as stack:
                platform = await stack.enter_async_context(self.declaration.open(Path(directory)))
                bed = DiscoveryBed(self.declaration, platform, self.dice(rule), self.quick)
                try:
                    yield bed
                finally:
                    for driver in bed.drivers:
                        await driver.aclose()


async def _tried(rule: Rule, bed: Any) -> tuple[Status, str, str]:
    trying = asyncio.ensure_future(rule.check(bed))
    try:
        await asyncio.wait([trying], timeout=rule.deadline_s)
        if not trying.done():  # to be asked before they are cancelled
            detail = f"it was not done after {rule.deadline_s:g} s; {bed.waiting()}"
            return Status.FAILED, detail, ""
        await trying
    except Exception as error:  # noqa: BLE001  a driver may raise anything
        return _judged(_cause(error))
    finally:
        trying.cancel()
        await asyncio.gather(trying, return_exceptions=True)
    return Status.PASSED, "", ""


def _judged(error: Exception) -> tuple[Status, str, str]:
    match error:
        case Violation():
            return Status.FAILED, _shown(error), error.timeline
        case NotPossible():
            return Status.SKIPPED, str(error), ""
        case Undecided():
            return Status.INCONCLUSIVE, str(error), ""
        case Unavailable() | OutcomeUnknown():
            # Not a lie, and no proof of anything: an overloaded machine does it to the best.
            detail = f"{_AWAY}: {error!r} from {named(error)}. {_HOW_TO_WAIT}"
            return Status.INCONCLUSIVE, detail, ""
    return _blamed(error), _shown(error), ""


def _cause(error: Exception) -> Exception:
    """What a group is about: a violation if there is one, else what came first."""
    if not isinstance(error, ExceptionGroup):
        return error
    causes = [_cause(each) for each in error.exceptions]
    return next((cause for cause in causes if isinstance(cause, Violation)), causes[0])


def _blamed(error: Exception) -> Status:
    """FAILED if the driver raised it, ERROR if the suite did."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = bool(frames) and Path(frames[-1].filename).is_relative_to(_OURS)
    return Status.ERROR if ours else Status.FAILED


def _shown(error: Exception) -> str:
    notes = "\n".join(getattr(error, "__notes__", []))
    if isinstance(error, Violation):
        return f"{error}\n{notes}".strip()[:_LONGEST_DETAIL]
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {frames[-1].name}, {Path(frames[-1].filename).name}:{frames[-1].lineno}"
    kind = type(error).__name__
    return f"{kind}: {error}{where if frames else ''}\n{notes}".strip()[:_LONGEST_DETAIL]


def selected(profiles: Sequence[Profile], only: Collection[str] = ()) -> list[Rule]:
    """The rules of the profiles; with `only`, those whose ids begin with one of these."""
    rules = [rule for profile in profiles for rule in catalogue(profile)]
    return [r for r in rules if not only or any(r.id.startswith(beginning) for beginning in only)]


def run_of(declaration: StoreDeclaration | DiscoveryDeclaration, *, seed: int, quick: bool) -> Run:
    """The run that suits the declaration."""
    if isinstance(declaration, StoreDeclaration):
        return StoreRun(declaration, seed, quick)
    return DiscoveryRun(declaration, seed, quick)


async def run(
    declaration: StoreDeclaration | DiscoveryDeclaration,
    *,
    profiles: Sequence[Profile],
    seed: int,
    quick: bool = False,
    only: Collection[str] = (),
    tell: Callable[[Outcome], None] = lambda _: None,
) -> Results:
    """Try all rules of the profiles, and tell of each when it is done."""
    wanted = selected(profiles, only)
    outcomes: dict[str, Outcome] = {}
    running = run_of(declaration, seed=seed, quick=quick)
    if unsuited := [rule for rule in wanted if rule.profile not in PROFILES_OF[running.kind]]:
        raise ValueError(f"{unsuited[0].id} is no rule for a {running.kind}")
    try:
        for rule in wanted:
            outcomes[rule.id] = await running.attempt(rule)
            tell(outcomes[rule.id])
    finally:
        await running.close()
    return replace(summed_up(running, profiles, outcomes), only=tuple(only))


def summed_up(run: Run, profiles: Sequence[Profile], outcomes: Mapping[str, Outcome]) -> Results:
    """The results of a run; what has no outcome was deselected."""
    rules = [rule for profile in profiles for rule in catalogue(profile)]
    return Results(
        subject=run.declaration.name,
        kind=run.kind,
        seed=run.seed,
        quick=run.quick,
        started=run.started.isoformat(timespec="seconds"),
        seconds=time.monotonic() - run.begun,
        versions=versions.of(run.declaration.distribution),
        declared=tuple(sorted(str(each) for each in run.declared)),
        profiles=tuple(profiles),
        declaration=_declared(run.declaration),
        outcomes=tuple(
            outcomes.get(rule.id) or Outcome(rule, Status.DESELECTED, "not selected")
            for rule in rules
        ),
        overridden=(*(rule.id for rule in rules if not _is_ours(rule)), *tampering.replaced()),
    )


def _declared(declaration: Any) -> dict[str, float | list[str]]:
    """The declaration's numbers and sets."""
    values = {each.name: getattr(declaration, each.name) for each in fields(declaration)}
    return {
        name: value if isinstance(value, int | float) else sorted(map(str, value))
        for name, value in values.items()
        if isinstance(value, int | float | frozenset)
    }


def _is_ours(rule: Rule) -> bool:
    # Where it was written, not what it calls itself: `functools.wraps` copies names.
    code = getattr(rule.check, "__code__", None)
    return code is not None and Path(code.co_filename).is_relative_to(_OURS)
