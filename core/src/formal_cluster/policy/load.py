"""Rego files in, an accepted policy set out, or every reason why not.

A file in package `formal.v2` is a policy and is evaluated by itself, so that two policies with
rules of the same name do not collide; files in all other packages are libraries, which every policy
may import.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from formal_cluster.model import Stage
from formal_cluster.policy.analyse import (
    POLICY_PACKAGE,
    Declared,
    find_uses,
    misspelt,
    stage_symbols,
)
from formal_cluster.policy.bound_reads import misread_bounds
from formal_cluster.policy.checks import (
    builtin_findings,
    recursion_findings,
    stage_findings,
    stage_rules,
)
from formal_cluster.policy.evaluate import Policy, PolicySet
from formal_cluster.policy.findings import Finding, PolicySetRefused
from formal_cluster.policy.interpret import interpret
from formal_cluster.policy.reads import Reads
from formal_cluster.policy.rego import Engine, Module, parse
from formal_cluster.policy.sources import Source, read_sources
from formal_cluster.settings import CounterSettings


def load_policies(
    paths: Sequence[Path], counters: Sequence[CounterSettings], *, generation: int = 1
) -> PolicySet:
    """Read, check and analyse policies. Nothing of them is run.

    Args:
        paths: Files, and directories searched for `*.rego`. None at all make an empty set.
        counters: The counters that policies may read.

    Raises:
        PolicySetRefused: A `PolicyLoadError` with everything that was found.
        ConfigError: A counter is declared twice.
    """
    declared = Declared(counters)
    sources = read_sources(paths)
    modules = _parse(sources)
    own = [module for module in modules if module.package == POLICY_PACKAGE]
    libraries = tuple(module for module in modules if module.package != POLICY_PACKAGE)
    if paths and not own:
        raise PolicySetRefused(_no_policy(paths, libraries))
    reads = [_interpret(module, libraries) for module in own]
    _refuse(sources, _analysis_findings(own, reads, declared))
    _refuse(sources, _engine_findings(own, libraries))
    return PolicySet(
        tuple(map(_policy, own, reads)),
        tuple(library.without_tree() for library in libraries),
        find_uses(reads, declared),
        _fields(reads),
        _digest(sources),
        generation,
    )


def _parse(sources: Iterable[Source]) -> list[Module]:
    parsed = [parse(source) for source in sources]
    findings = [result for result in parsed if isinstance(result, Finding)]
    if findings:
        raise PolicySetRefused(findings)
    return [result for result in parsed if isinstance(result, Module)]


def _interpret(module: Module, libraries: Sequence[Module]) -> Reads:
    results = [symbol for stage in Stage for symbol in stage_symbols(stage)]
    return interpret((module, *libraries), results)


def _no_policy(paths: Iterable[Path], libraries: Sequence[Module]) -> Iterable[Finding]:
    found = ", ".join(sorted({".".join(module.package) for module in libraries}))
    for path in paths:
        yield Finding(
            str(path),
            f"none of the files is in package {'.'.join(POLICY_PACKAGE)}, which policies are "
            f"(found: {found})",
        )


def _analysis_findings(
    own: Sequence[Module], reads: Sequence[Reads], declared: Declared
) -> Iterable[Finding]:
    for module, policy_reads in zip(own, reads, strict=True):
        yield from policy_reads.findings
        yield from stage_findings(module, policy_reads)
        yield from builtin_findings(policy_reads)
        yield from recursion_findings(policy_reads)
    yield from misspelt(reads, declared)
    yield from misread_bounds(reads, declared)


def _engine_findings(own: Sequence[Module], libraries: Sequence[Module]) -> Iterable[Finding]:
    for module in own:
        modules = (module, *libraries)
        finding = Engine(modules).prepare([each.source for each in modules])
        if finding is not None:
            yield finding


def _refuse(sources: Iterable[Source], findings: Iterable[Finding]) -> None:
    """Raise if there is any finding, each with the line it is about."""
    by_path = {source.path: source for source in sources}
    shown = [
        finding
        if finding.text or isinstance(finding.where, str)
        else replace(finding, text=by_path[finding.where.file].line(finding.where.line))
        for finding in findings
    ]
    if shown:
        raise PolicySetRefused(shown)


def _policy(module: Module, reads: Reads) -> Policy:
    package = ".".join(("data", *POLICY_PACKAGE))
    return Policy(
        module.without_tree(),
        {
            stage: tuple(f"{package}.{name}" for name in names)
            for stage, names in stage_rules(module).items()
        },
        tuple(sorted(".".join(("input", *(step or "*" for step in p))) for p in reads.paths)),
    )


def _fields(policies: Iterable[Reads]) -> frozenset[str] | None:
    """The top-level fields of the input that any policy or library may read; None for any."""
    fields: set[str] = set()
    for reads in policies:
        for steps in chain(reads.paths, (read.steps for read in reads.places)):
            if not steps or steps[0] is None:
                return None
            fields.add(steps[0])
    return frozenset(fields)


def _digest(sources: Iterable[Source]) -> str:
    digest = hashlib.sha256()
    for source in sources:
        for part in (source.name, source.text):
            raw = part.encode()
            digest.update(len(raw).to_bytes(8, "big") + raw)
    return digest.hexdigest()
