"""The policy set, and its evaluation from any thread.

A set is a value: it never changes, and hot reload puts another in its place. What it needs engines
for is built by each thread for itself, at the first decision there.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field

from formal_cluster.errors import PolicyEvaluationError
from formal_cluster.model import PolicyOutcome, Stage
from formal_cluster.policy.analyse import CounterUse
from formal_cluster.policy.merge import result_error
from formal_cluster.policy.rego import Engine, EnginePanicked, Module, encode_input


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy file.

    Attributes:
        rules: For each stage it has a say in, the full names of its rules.
        paths: The input paths that it reads, for people; `*` stands for any step.
    """

    module: Module
    rules: Mapping[Stage, tuple[str, ...]]
    paths: tuple[str, ...]

    @property
    def name(self) -> str:
        """Its path below the configured directory."""
        return self.module.source.name


@dataclass(frozen=True, eq=False)
class PolicySet:
    """Policies that were accepted together.

    Attributes:
        policies: In order of precedence among equals.
        libraries: What each of them may refer to.
        uses: The counters that they read.
        fields: The top-level fields of the input that they read; None if that may be any.
        digest: SHA-256 over names and texts; equal for equal sets.
        generation: Counts the sets of one process, from 1.
    """

    policies: tuple[Policy, ...]
    libraries: tuple[Module, ...]
    uses: tuple[CounterUse, ...]
    fields: frozenset[str] | None
    digest: str
    generation: int
    _by_stage: Mapping[Stage, tuple[CounterUse, ...]] = field(init=False, repr=False)
    _rules: Mapping[Stage, tuple[tuple[int, str, str], ...]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        by_stage = {
            stage: tuple(u for u in self.uses if stage in u.stages or stage in u.counted_at)
            for stage in Stage
        }
        object.__setattr__(self, "_by_stage", by_stage)
        rules = {
            stage: tuple(
                (index, policy.name, rule)
                for index, policy in enumerate(self.policies)
                for rule in policy.rules.get(stage, ())
            )
            for stage in Stage
        }
        object.__setattr__(self, "_rules", rules)

    @property
    def fields_read(self) -> frozenset[str] | None:
        """The top-level fields that policies read or counters are kept by; None if any may be."""
        if self.fields is None:
            return None
        kept_by = {
            use.entity if part == "entity" else part.removeprefix("input.").partition(".")[0]
            for use in self.uses
            for part in use.counter.subject
        }
        return self.fields | kept_by

    @property
    def largest_thresholds(self) -> dict[str, int]:
        """The largest one known of each counter that has any, by `CounterUse.name`."""
        known = {
            use.name: [threshold for of_window in use.thresholds for threshold in of_window or ()]
            for use in self.uses
        }
        return {name: max(thresholds) for name, thresholds in known.items() if thresholds}

    def uses_at(self, stage: Stage) -> tuple[CounterUse, ...]:
        """The counters that a request at `stage` may touch: read there, or counting there."""
        return self._by_stage[stage]

    def evaluate(self, stage: Stage, document: Mapping[str, object]) -> tuple[PolicyOutcome, ...]:
        """What each policy with a rule for `stage` says, in order. Callable from any thread.

        A policy that fails, or whose result is no object with a known action, has an outcome with
        `error` set.

        Raises:
            InputError: The document is not JSON, or is nested too deeply for the engine.
        """
        if self.fields is not None:
            # Handing the input over is most of the cost, and grows with what nobody reads.
            document = {name: document[name] for name in self.fields if name in document}
        encoded = encode_input(document)
        outcomes: list[PolicyOutcome] = []
        engines = _engines_of(self)
        for index, name, rule in self._rules[stage]:
            try:
                result = engines[index].evaluate(rule, encoded)
            except PolicyEvaluationError as error:
                if isinstance(error, EnginePanicked):
                    _forget(self)
                outcomes.append(PolicyOutcome(name, None, str(error)))
                continue
            error_text = None if result is None else result_error(result)
            outcomes.append(PolicyOutcome(name, None if error_text else result, error_text))
        return tuple(outcomes)


class _ThreadEngines(threading.local):
    """This thread's engines, by set.

    They must be released by this thread too, so the entry of a set that is gone stays until the
    thread next builds engines or ends; nothing else may reach in.
    """

    def __init__(self) -> None:
        self.by_set: dict[int, tuple[weakref.ref[PolicySet], tuple[Engine, ...]]] = {}


_thread = _ThreadEngines()


def _engines_of(policy_set: PolicySet) -> tuple[Engine, ...]:
    known = _thread.by_set.get(id(policy_set))
    if known is not None and known[0]() is policy_set:
        return known[1]
    for key, (owner, _) in list(_thread.by_set.items()):
        if owner() is None:
            del _thread.by_set[key]
    engines = tuple(
        Engine((policy.module, *policy_set.libraries)) for policy in policy_set.policies
    )
    _thread.by_set[id(policy_set)] = (weakref.ref(policy_set), engines)
    return engines


def _forget(policy_set: PolicySet) -> None:
    _thread.by_set.pop(id(policy_set), None)
