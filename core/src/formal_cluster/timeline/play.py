"""Plays the tests of a file: the real decisions, on counters that a timeline's clock moves."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from formal_cluster.decision import Decider, merge_fields
from formal_cluster.errors import InputError
from formal_cluster.model import STAGE_BY_NAME, CounterReading, Decision, Stage
from formal_cluster.policy.cluster_fields import ClusterFields
from formal_cluster.policy.evaluate import PolicySet
from formal_cluster.protocols import Enricher
from formal_cluster.settings import Settings
from formal_cluster.timeline.clockwork import Clockwork
from formal_cluster.timeline.document import NOTHING, Step, Test, TestFile
from formal_cluster.timeline.moments import moment_text

_CLUSTER = "cluster"
"""The one enricher that is here: those of plugins ask what a test cannot have."""


@dataclass(frozen=True)
class Failure:
    """One access that was not decided as expected.

    Attributes:
        line: Of the step in the file.
        access: Which one of the step's, from 1.
        problems: What is different.
        decided_by: The policy and the rule whose result it is, or the framework's reason.
        counts: What the policies saw.
    """

    line: int
    at_ms: int
    instance: str
    stage: Stage
    access: int
    times: int
    input: Mapping[str, Any]
    problems: tuple[str, ...]
    decided_by: str
    counts: tuple[CounterReading, ...]

    @property
    def when(self) -> str:
        """Which access it was, for people."""
        which = f", access {self.access} of {self.times}" if self.times > 1 else ""
        return f"at {moment_text(self.at_ms)} on {self.instance}, {self.stage.value}{which}"


@dataclass(frozen=True)
class Verdict:
    """What came of one test."""

    name: str
    line: int
    accesses: int
    failures: tuple[Failure, ...]


@dataclass(frozen=True)
class _Answer:
    """What an access met: a decision, or the refusal to make one."""

    decision: Decision | None = None
    error: InputError | None = None

    @property
    def action(self) -> str | None:
        """What is to be done; None if the request was refused."""
        return None if self.decision is None else self.decision.action

    @property
    def fields(self) -> Mapping[str, Any]:
        """What a test may expect of it."""
        if self.decision is None:
            return {"error": None if self.error is None else self.error.code}
        return {"action": self.action, **(self.decision.result or {})}

    @property
    def counts(self) -> tuple[CounterReading, ...]:
        """What the policies saw."""
        return () if self.decision is None else self.decision.counters


async def play(file: TestFile, policies: PolicySet, settings: Settings) -> list[Verdict]:
    """Every test of a file, in order.

    Args:
        policies: Those that the file names, loaded.
        settings: `policy.on_error`, and whether policies are told about the cluster.
    """
    return [await _play_test(file, number, policies, settings) for number in range(len(file.tests))]


async def _play_test(
    file: TestFile, number: int, policies: PolicySet, settings: Settings
) -> Verdict:
    test = file.tests[number]
    lengths = {use.name: [window.length_ms for window in use.windows] for use in policies.uses}
    world = Clockwork(list(dict.fromkeys(step.instance for step in test.steps)), lengths)
    deciders = {name: _decider(world, name, policies, settings) for name in world.instances}
    failures: list[Failure] = []
    for step, line, at in zip(test.steps, file.lines[number], file.moments[number], strict=True):
        world.now = at
        counters = world.instances[step.instance]
        if step.degraded:
            counters.cut_off()
        else:
            counters.connect()
        document = _document(file, test, step)
        decider = deciders[step.instance]
        failure = await _play_step(step, document, decider, policies, line=line, at_ms=at)
        if failure is not None:
            failures.append(failure)
    accesses = sum(step.times for step in test.steps)
    return Verdict(test.name, file.lines[number][0], accesses, tuple(failures))


def _decider(world: Clockwork, name: str, policies: PolicySet, settings: Settings) -> Decider:
    counters = world.instances[name]
    enrichers: list[Enricher] = []
    if _CLUSTER in settings.enrichment.drivers:
        enrichers.append(ClusterFields(lambda: counters.info))
    return Decider(settings, lambda: policies, counters, enrichers, lambda: counters.info)


def _document(file: TestFile, test: Test, step: Step) -> dict[str, Any]:
    document = copy.deepcopy(dict(file.request))
    merge_fields(document, test.request)
    merge_fields(document, step.input)
    if step.user is not None:
        document["user"] = {"id": step.user}
    return document


async def _play_step(
    step: Step,
    document: dict[str, Any],
    decider: Decider,
    policies: PolicySet,
    *,
    line: int,
    at_ms: int,
) -> Failure | None:
    """All accesses of a step; the first failure."""
    stage = STAGE_BY_NAME[step.stage]
    first: Failure | None = None
    for access in range(1, step.times + 1):
        try:
            answer = _Answer(await decider.decide_as_declared(stage, document))
        except InputError as error:
            answer = _Answer(error=error)
        problems = list(_unlike(step.expect, answer))
        if access == step.times:
            problems += _miscounted(step.counts, answer)
        if problems and first is None:
            first = Failure(
                line=line,
                at_ms=at_ms,
                instance=step.instance,
                stage=stage,
                access=access,
                times=step.times,
                input=document,
                problems=tuple(problems),
                decided_by=_decided_by(answer, stage, policies),
                counts=answer.counts,
            )
    return first


def _unlike(expected: str | Mapping[str, Any], answer: _Answer) -> Iterator[str]:
    if expected == NOTHING:
        if answer.decision is None or answer.decision.result is not None:
            yield f"expected no result of any policy, got {_shown(answer)}"
    elif isinstance(expected, str):
        if answer.action != expected:
            yield f"expected {expected}, got {_shown(answer)}"
    else:
        for name, value in expected.items():
            if name not in answer.fields or answer.fields[name] != value:
                yield f"expected {name} {json.dumps(value)}, got {_shown(answer)}"


def _shown(answer: _Answer) -> str:
    if answer.decision is not None and answer.decision.result is None:
        return "allow (no policy has a result)"
    fields = dict(answer.fields)
    action = fields.pop("action", None)
    if action is None:
        return f"a refusal, {fields['error']}"
    return f"{action} {json.dumps(fields)}" if fields else str(action)


def _miscounted(expected: Mapping[str, int], answer: _Answer) -> Iterator[str]:
    seen = dict(_values(answer.counts))
    for name, value in expected.items():
        path = name.removeprefix("input.")
        if path not in seen:
            yield f"expected {path} to be {value}, but it is not counted here"
        elif seen[path] != value:
            yield f"expected {path} to be {value}, it is {seen[path]}"


def _values(counts: tuple[CounterReading, ...]) -> Iterator[tuple[str, int]]:
    """Each count and its bounds, by their path in the input."""
    for reading in counts:
        path = reading.path.removeprefix("input.")
        counter, _, window = path.rpartition(".")
        yield path, reading.value
        yield f"{counter}.lower.{window}", reading.lower
        yield f"{counter}.upper.{window}", reading.upper


def _decided_by(answer: _Answer, stage: Stage, policies: PolicySet) -> str:
    decision = answer.decision
    if decision is None:
        return f"nobody, the request was refused: {answer.error}"
    if decision.reason is not None:
        return f"no policy: {decision.reason}"
    if decision.result is None:
        return "no policy has a result"
    rules = [
        (policy.name, rule) for policy in policies.policies for rule in policy.rules.get(stage, ())
    ]
    return next(
        f"{name}, rule {rule.rpartition('.')[2]}"
        for (name, rule), outcome in zip(rules, decision.outcomes, strict=True)
        if outcome.result is decision.result
    )
