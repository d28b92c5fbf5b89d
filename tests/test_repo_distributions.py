"""What a shared environment hides: whether each distribution would work on its own.

In the workspace every distribution sees the dependencies of all the others, so a missing one
would show only at a user's.
"""

from __future__ import annotations

import ast
import configparser
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from tools.release_check import versions
from tools.release_check.workspace import Distribution, Requirement, distributions, normalized

from formal_cluster.hookspecs import FAMILIES
from formal_cluster.plugins.commands import GROUP as COMMANDS

ROOT = Path(__file__).parent.parent
ALL = distributions()
[CORE] = [each for each in ALL if each.directory.name == "core"]
PLUGINS = [each for each in ALL if each.directory.parent.name == "plugins"]

CONFORMANCE = "formal_cluster.conformance.v1"
"""Declarations for the conformance suite; see `formal_cluster_conformance.declaration`."""

COMES_WITH = {"botocore": "boto3", "pydantic-core": "pydantic"}
"""Dependencies that users of the other distribution are meant to import from directly."""


def each_of(ours: list[Distribution]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("ours", ours, ids=lambda each: each.directory.name)


def imported_modules(ours: Distribution) -> set[str]:
    modules: set[str] = set()
    for path in (ours.directory / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules.add(node.module)
    return {module.partition(".")[0] for module in modules}


def imported_distributions(ours: Distribution) -> set[str]:
    own = {each.package: each.name for each in ALL}
    installed = packages_distributions()
    found: set[str] = set()
    for module in imported_modules(ours) - sys.stdlib_module_names - {ours.package}:
        found.add(own.get(module) or normalized(installed[module][0]))
    return found


@each_of(ALL)
def test_a_distribution_declares_what_it_imports(ours: Distribution):
    known = {required.name for required in ours.requirements}
    undeclared = imported_distributions(ours) - known
    assert set() == {name for name in undeclared if COMES_WITH.get(name) not in known}


def test_all_distributions_share_one_version_and_require_each_other_in_it():
    assert [] == list(versions.problems(ALL, (ROOT / versions.CHART).read_text()))


@each_of(PLUGINS)
def test_a_plugin_is_an_extra_of_core_and_registers_in_a_known_group(ours: Distribution):
    groups = dict(ours.project["entry-points"])
    for besides_the_driver in (COMMANDS, CONFORMANCE):
        groups.pop(besides_the_driver, None)
    [(group, drivers)] = groups.items()
    [driver] = drivers
    assert group in {family.group for family in FAMILIES.values()}
    assert ours.name == Requirement.parse(CORE.extras[driver][0]).name


def test_the_import_contracts_cover_every_package():
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    covered = contracts["importlinter"]["root_packages"].split()
    assert sorted(each.package for each in ALL) == sorted(covered)


@each_of(ALL)
def test_a_distribution_ships_the_licence(ours: Distribution):
    assert (ROOT / "LICENSE").read_text() == (ours.directory / "LICENSE").read_text()
