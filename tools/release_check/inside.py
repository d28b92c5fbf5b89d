"""Run by an environment's own Python: does what was installed there load?

    python -I inside.py

Loads each entry point of our distributions and imports each of their modules. Exit code 1, and a
line for each problem, if one does not load or comes from outside of the environment. It knows the
standard library only, since nothing else is sure to be there.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import Distribution, distributions
from importlib.util import find_spec
from pathlib import Path

_OURS = "formal-cluster"
_DECLARATIONS = "formal_cluster.conformance.v1"
"""Declarations for the conformance suite load only where the suite is installed."""
_SUITE = "formal_cluster_conformance"
_NEEDS = {f"{_SUITE}.ecs": "botocore"}
"""What is of use with an extra of its distribution only, and a package that the extra brings."""


def problems() -> Iterator[str]:
    """What does not load, and why."""
    ours = [each for each in distributions() if each.name.startswith(_OURS)]
    for distribution in ours:
        for point in distribution.entry_points:
            if point.group != _DECLARATIONS or find_spec(_SUITE):
                yield from _failure(f"{point.name} in {point.group}", point.load)
        package = distribution.name.replace("-", "_")
        for module in _modules(package):
            yield from _failure(module, partial(importlib.import_module, module))
        yield from _strange_origin(distribution, package)


def _failure(what: str, load: Callable[[], object]) -> Iterator[str]:
    try:
        load()
    except Exception as error:  # noqa: BLE001  whatever it is, it is reported
        yield f"{what}: {type(error).__name__}: {error}"


def _modules(package: str) -> Iterator[str]:
    """All that can be imported with what is installed, but for what runs when it is imported."""
    yield package
    for found in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}."):
        # What a driver declares for the conformance suite is of use with the suite only.
        needed = _NEEDS.get(found.name, _SUITE if found.name.endswith(".conformance") else None)
        if found.name.endswith(".__main__") or (needed and not find_spec(needed)):
            continue
        if found.ispkg:
            yield from _modules(found.name)
        else:
            yield found.name


def _strange_origin(distribution: Distribution, package: str) -> Iterator[str]:
    origin = Path(str(sys.modules[package].__file__))
    if not origin.is_relative_to(sys.prefix):
        yield f"{distribution.name} is imported from {origin}, not from {sys.prefix}"


if __name__ == "__main__":
    found = list(problems())
    sys.stdout.write("".join(f"{problem}\n" for problem in found))
    sys.exit(1 if found else 0)
