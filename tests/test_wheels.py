"""What a user gets: the built wheels in an empty environment, one extra at a time.

Our own distributions come from the wheels built here and from nowhere else; the others come from
the package index in the versions of uv.lock, so that a release elsewhere cannot fail this. `make
release-check` builds and judges with the same modules, takes what is newest on the index, and goes
on to use what it has installed.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from tools.release_check import building
from tools.release_check.environment import UV, Environment, run
from tools.release_check.workspace import distributions

SDKS = {"aetcd", "boto3", "kubernetes", "redis"}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@dataclass(frozen=True)
class Extra:
    name: str
    family: str
    distribution: str
    sdk: str


EXTRAS = [
    Extra("ecs", "discovery", "formal-cluster-discovery-ecs", "boto3"),
    Extra("k8s", "discovery", "formal-cluster-discovery-k8s", "kubernetes"),
    Extra("etcd", "store", "formal-cluster-store-etcd", "aetcd"),
    Extra("redis-test", "store", "formal-cluster-store-redis-test", "redis"),
]


@dataclass(frozen=True)
class Wheelhouse:
    built: list[building.Built]
    constraints: Path


@pytest.fixture(scope="module")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Wheelhouse:
    directory = tmp_path_factory.mktemp("wheelhouse")
    built = building.build(distributions(), directory)
    locked = run(
        UV, "export", "--quiet", "--frozen", "--all-packages", "--no-hashes", "--no-emit-workspace"
    )
    ours = "".join(f"{each.distribution.name} @ {each.wheel.as_uri()}\n" for each in built)
    constraints = directory / "constraints.txt"
    constraints.write_text(ours + locked)
    return Wheelhouse(built, constraints)


def assert_works(environment: Environment, wheelhouse: Wheelhouse, extra: Extra) -> None:
    installed = environment.installed()
    assert {"formal-cluster", extra.distribution} <= installed.keys()
    assert [] == list(environment.foreign_files([each.wheel for each in wheelhouse.built]))
    assert {extra.sdk} == SDKS & installed.keys()
    plugin = environment.plugins()[extra.family, extra.name]
    assert (extra.distribution, installed[extra.distribution], "loaded") == (
        plugin["distribution"],
        plugin["version"],
        plugin["status"],
    )


@pytest.mark.parametrize("extra", EXTRAS, ids=lambda extra: extra.name)
def test_an_extra_installs_from_wheels_and_brings_its_driver_and_only_its_sdk(
    extra: Extra, wheelhouse: Wheelhouse, tmp_path: Path
):
    environment = Environment(tmp_path / "venv")
    environment.install("--constraints", wheelhouse.constraints, f"formal-cluster[{extra.name}]")
    assert_works(environment, wheelhouse, extra)


def test_pip_installs_them_too(wheelhouse: Wheelhouse, tmp_path: Path):
    [extra] = [extra for extra in EXTRAS if extra.name == "etcd"]
    environment = Environment(tmp_path / "venv", "--seed")
    environment.install_with_pip(
        "--constraint", wheelhouse.constraints, f"formal-cluster[{extra.name}]"
    )
    assert_works(environment, wheelhouse, extra)


def test_core_alone_brings_its_own_drivers_and_no_sdk(wheelhouse: Wheelhouse, tmp_path: Path):
    environment = Environment(tmp_path / "venv")
    environment.install("--constraints", wheelhouse.constraints, "formal-cluster")
    assert set() == SDKS & environment.installed().keys()
    plugins = environment.plugins()
    assert {"formal-cluster"} == {plugin["distribution"] for plugin in plugins.values()}
    assert {"discovery", "store", "counters", "enrichment"} == {family for family, _ in plugins}


def test_what_is_built_is_complete_and_describes_itself(wheelhouse: Wheelhouse):
    assert [] == list(building.problems(wheelhouse.built))


def test_a_file_that_is_not_ours_is_noticed(wheelhouse: Wheelhouse, tmp_path: Path):
    environment = Environment(tmp_path / "venv")
    wheels = [each.wheel for each in wheelhouse.built]
    [packages] = environment.directory.glob("lib/*/site-packages")
    zipfile.ZipFile(wheels[0]).extractall(packages)
    assert [] == list(environment.foreign_files(wheels))
    [types] = packages.glob("*/py.typed")
    types.write_text("partial\n")
    [complaint] = environment.foreign_files(wheels)
    assert f"{types.parent.name}/py.typed is not the one of {wheels[0].name}" == complaint
