"""Run by an environment's own Python: does what was installed there load?

    python -I inside.py [--every-module]

Loads each entry point of our distributions, and on request imports each of their modules. Exit code
1, and a line for each problem, if one does not load or comes from outside of the environment.
It knows the standard library only, since nothing else is sure to be there.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import Distribution, distributions
from pathlib import Path

_OURS = "formal-cluster"
_DECLARATIONS = "formal_cluster.conformance.v1"
"""Declarations for the conformance suite load only where the suite is installed."""
_SUITE = "formal-cluster-conformance"
_MAIN = "__main__"


def problems(*, every_module: bool) -> Iterator[str]:
    """What does not load, and why."""
    ours = [each for each in distributions() if each.name.startswith(_OURS)]
    has_suite = _SUITE in {each.name for each in ours}
    for distribution in ours:
        for point in distribution.entry_points:
            if point.group != _DECLARATIONS or has_suite:
                yield from _failure(f"{point.name} in {point.group}", point.load)
        package = distribution.name.replace("-", "_")
        for module in _modules(package) if every_module else [package]:
            yield from _failure(module, partial(importlib.import_module, module))
        yield from _strange_origin(distribution, package)


def _failure(what: str, load: Callable[[], object]) -> Iterator[str]:
    try:
        load()
    except Exception as error:  # noqa: BLE001  whatever it is, it is reported
        yield f"{what}: {type(error).__name__}: {error}"


def _modules(package: str) -> Iterator[str]:
    yield package
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
        if not module.name.endswith(_MAIN):
            yield module.name


def _strange_origin(distribution: Distribution, package: str) -> Iterator[str]:
    origin = Path(str(sys.modules[package].__file__))
    if not origin.is_relative_to(sys.prefix):
        yield f"{distribution.name} is imported from {origin}, not from {sys.prefix}"


if __name__ == "__main__":
    found = list(problems(every_module="--every-module" in sys.argv))
    sys.stdout.write("".join(f"{problem}\n" for problem in found))
    sys.exit(1 if found else 0)
