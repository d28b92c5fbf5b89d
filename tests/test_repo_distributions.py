"""What a shared environment hides: whether each distribution would work on its own.

In the workspace every distribution sees the dependencies of all the others, so a missing one
would show only at a user's.
"""

from __future__ import annotations

import ast
import configparser
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from formal_cluster.hookspecs import FAMILIES
from formal_cluster.plugins.commands import GROUP as COMMANDS

ROOT = Path(__file__).parent.parent
WORKSPACE = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]["workspace"]
ALL = sorted(path for pattern in WORKSPACE["members"] for path in ROOT.glob(pattern))
CORE = ROOT / "core"
PLUGINS = [path for path in ALL if path.parent.name == "plugins"]

CONFORMANCE = "formal_cluster.conformance.v1"
"""Declarations for the conformance suite; see `formal_cluster_conformance.declaration`."""

COMES_WITH = {"botocore": "boto3", "pydantic-core": "pydantic"}
"""Dependencies that users of the other distribution are meant to import from directly."""


def project(directory: Path) -> dict[str, Any]:
    return tomllib.loads((directory / "pyproject.toml").read_text())["project"]


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def package(directory: Path) -> str:
    return project(directory)["name"].replace("-", "_")


def declared(directory: Path) -> set[str]:
    extras = project(directory).get("optional-dependencies", {})
    requirements = chain(project(directory)["dependencies"], *extras.values())
    return {normalized(re.match(r"[\w.-]+", requirement)[0]) for requirement in requirements}


def imported_modules(directory: Path) -> set[str]:
    modules: set[str] = set()
    for path in (directory / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules.add(node.module)
    return {module.partition(".")[0] for module in modules}


def imported_distributions(directory: Path) -> set[str]:
    own = {package(path): project(path)["name"] for path in ALL}
    installed = packages_distributions()
    found: set[str] = set()
    for module in imported_modules(directory) - sys.stdlib_module_names - {package(directory)}:
        found.add(own.get(module) or normalized(installed[module][0]))
    return found


@pytest.mark.parametrize("directory", ALL, ids=lambda path: path.name)
def test_a_distribution_declares_what_it_imports(directory: Path):
    known = declared(directory)
    undeclared = imported_distributions(directory) - known
    assert set() == {name for name in undeclared if COMES_WITH.get(name) not in known}


def test_all_distributions_share_one_version():
    assert 1 == len({project(directory)["version"] for directory in ALL})


@pytest.mark.parametrize("directory", PLUGINS, ids=lambda path: path.name)
def test_a_plugin_is_an_extra_of_core_and_registers_in_a_known_group(directory: Path):
    extras = project(CORE)["optional-dependencies"]
    groups = dict(project(directory)["entry-points"])
    for besides_the_driver in (COMMANDS, CONFORMANCE):
        groups.pop(besides_the_driver, None)
    [(group, drivers)] = groups.items()
    [driver] = drivers
    assert group in {family.group for family in FAMILIES.values()}
    assert project(directory)["name"] == re.match(r"[\w-]+", extras[driver][0])[0]


def test_the_import_contracts_cover_every_package():
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    covered = contracts["importlinter"]["root_packages"].split()
    assert sorted(package(directory) for directory in ALL) == sorted(covered)


@pytest.mark.parametrize("directory", ALL, ids=lambda path: path.name)
def test_a_distribution_ships_the_licence(directory: Path):
    assert (ROOT / "LICENSE").read_text() == (directory / "LICENSE").read_text()
