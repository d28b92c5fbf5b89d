"""What is refused although it parses: policies that would never fire, or that cannot be run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from graphlib import CycleError, TopologicalSorter

from formal_cluster.model import STAGE_BY_NAME, Stage
from formal_cluster.policy.analyse import POLICY_PACKAGE
from formal_cluster.policy.findings import Finding
from formal_cluster.policy.merge import ACTIONS, unknown_action
from formal_cluster.policy.reads import Reads
from formal_cluster.policy.rego import Module, is_builtin
from formal_cluster.policy.syntax import Rule, location, rules, split

_DEPTH = len(POLICY_PACKAGE)


def stage_rules(module: Module) -> Mapping[Stage, tuple[str, ...]]:
    """The rules a policy defines for each stage."""
    defined = {rule.symbol[_DEPTH] for rule in rules(module) if _is_stage_rule(rule)}
    return {
        stage: names
        for stage in Stage
        if (names := tuple(name for name in stage.rules if name in defined))
    }


def stage_findings(module: Module, reads: Reads) -> Iterator[Finding]:
    """Stage rules that are missing, misspelt, of the wrong form or with an unknown action."""
    own = list(rules(module))
    if not any(rule.symbol[_DEPTH] in STAGE_BY_NAME for rule in own):
        names = {rule.symbol[_DEPTH] for rule in own}
        yield Finding(
            module.source.path,
            "the policy has none of the rules that are asked for "
            f"({', '.join(STAGE_BY_NAME)}), so it would never fire{_meant(names)}",
        )
        return
    used = {callee for callees in reads.calls.values() for callee in callees}
    for rule in own:
        name = rule.symbol[_DEPTH]
        if name in STAGE_BY_NAME:
            if not _is_stage_rule(rule):
                yield Finding(rule.location, f"write this as one object: {name} := {{…}} if {{…}}")
            yield from _action_findings(rule)
        elif rule.symbol not in used and _meant({name}):
            yield Finding(rule.location, f"nothing uses the rule {name}{_meant({name})}")


def builtin_findings(reads: Reads) -> Iterator[Finding]:
    """Calls of functions that the engine lacks; it would find out when a request gets there."""
    for name, at in reads.builtins:
        if name == "http.send":
            yield Finding(at, "http.send is always undefined here: policies do no I/O")
        elif not is_builtin(name):
            yield Finding(at, f"there is no function {name}, built in or in a library of this set")


def recursion_findings(reads: Reads) -> Iterator[Finding]:
    """Rules that refer to themselves: running one exhausts the native stack and kills us."""
    graph = {rule: sorted(callees) for rule, callees in sorted(reads.calls.items())}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        *cycle, _ = reversed(error.args[1])  # in the order of the calls, its first rule repeated
        start = cycle.index(min(cycle))
        names = [".".join(("data", *rule)) for rule in (*cycle[start:], *cycle[: start + 1])]
        yield Finding(
            reads.defined[cycle[start]],
            f"rules must not refer to themselves: {' → '.join(names)}; break the circle",
        )


def _is_stage_rule(rule: Rule) -> bool:
    return (
        rule.symbol[_DEPTH] in STAGE_BY_NAME
        and len(rule.symbol) == _DEPTH + 1
        and rule.complete
        and not rule.function
    )


def _action_findings(rule: Rule) -> Iterator[Finding]:
    for value in rule.values:
        kind, body = split(value)
        for _, key, action in body["fields"] if kind == "Object" else ():
            if key.get("String", {}).get("value") == "action" and "String" in action:
                name = action["String"]["value"]
                if name not in ACTIONS:
                    yield Finding(location(rule.module, action["String"]), unknown_action(name))


def _meant(names: set[str]) -> str:
    for name in sorted(names):
        for near in get_close_matches(name, STAGE_BY_NAME, n=1, cutoff=0.8):
            return f"; {name} was probably meant to be {near}"
    return ""
