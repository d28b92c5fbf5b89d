"""What a user gets: the built wheels in an empty environment, one extra at a time.

Our own distributions come from the wheels built here and from nowhere else; the others come from
the package index in the versions of uv.lock, so that a release elsewhere cannot fail this.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
UV = ROOT / "tools" / "uv"
OTHER_ENVIRONMENTS = ("VIRTUAL_ENV", "PYTHONPATH", "FORMAL_CLUSTER_")
SDKS = {"aetcd", "boto3", "kubernetes", "redis"}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


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


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(OTHER_ENVIRONMENTS)}
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert 0 == done.returncode, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


@dataclass(frozen=True)
class Wheelhouse:
    wheels: dict[str, Path]
    constraints: Path


@pytest.fixture(scope="module")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Wheelhouse:
    directory = tmp_path_factory.mktemp("wheelhouse")
    run(UV, "build", "--quiet", "--all-packages", "--no-sources", "--out-dir", directory)
    wheels = {
        path.name.partition("-")[0].replace("_", "-"): path for path in directory.glob("*.whl")
    }
    locked = run(
        UV, "export", "--quiet", "--frozen", "--all-packages", "--no-hashes", "--no-emit-workspace"
    )
    ours = "".join(f"{name} @ {path.as_uri()}\n" for name, path in wheels.items())
    constraints = directory / "constraints.txt"
    constraints.write_text(ours + locked)
    return Wheelhouse(wheels, constraints)


class Environment:
    """An empty virtual environment, outside of the repository."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.directory = directory
        python = ("--python", sys.executable)
        run(UV, "venv", "--quiet", "--no-project", *python, *options, directory)
        self.python = directory / "bin" / "python"

    def installed(self) -> dict[str, str]:
        listing = run(UV, "pip", "list", "--python", self.python, "--format", "json")
        return {entry["name"]: entry["version"] for entry in json.loads(listing)}

    def origin(self, distribution: str) -> str:
        """The URL that a distribution was installed from, as the installer recorded it."""
        [record] = self.directory.glob(
            f"lib/*/site-packages/{distribution.replace('-', '_')}-*.dist-info/direct_url.json"
        )
        return json.loads(record.read_text())["url"]

    def plugins(self) -> dict[tuple[str, str], dict[str, str]]:
        command = self.directory / "bin" / "formal-cluster"
        listing = run(command, "plugins", "--import", "--json", cwd=self.directory)
        return {(plugin["family"], plugin["name"]): plugin for plugin in json.loads(listing)}


def assert_works(environment: Environment, wheelhouse: Wheelhouse, extra: Extra) -> None:
    for distribution in ("formal-cluster", extra.distribution):
        assert wheelhouse.wheels[distribution].as_uri() == environment.origin(distribution)
    installed = environment.installed()
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
    run(
        *(UV, "pip", "install", "--quiet", "--python", environment.python),
        *("--constraints", wheelhouse.constraints, f"formal-cluster[{extra.name}]"),
    )
    assert_works(environment, wheelhouse, extra)


def test_pip_installs_them_too(wheelhouse: Wheelhouse, tmp_path: Path):
    [extra] = [extra for extra in EXTRAS if extra.name == "etcd"]
    environment = Environment(tmp_path / "venv", "--seed")
    run(
        *(environment.python, "-m", "pip", "install", "--quiet"),
        *("--constraint", wheelhouse.constraints, f"formal-cluster[{extra.name}]"),
    )
    assert_works(environment, wheelhouse, extra)


def test_core_alone_brings_its_own_drivers_and_no_sdk(wheelhouse: Wheelhouse, tmp_path: Path):
    environment = Environment(tmp_path / "venv")
    run(
        *(UV, "pip", "install", "--quiet", "--python", environment.python),
        *("--constraints", wheelhouse.constraints, "formal-cluster"),
    )
    assert set() == SDKS & environment.installed().keys()
    plugins = environment.plugins()
    assert {"formal-cluster"} == {plugin["distribution"] for plugin in plugins.values()}
    assert {"discovery", "store", "counters", "enrichment"} == {family for family, _ in plugins}


def test_a_wheel_carries_its_types_and_its_licence_and_no_tests(wheelhouse: Wheelhouse):
    for distribution, wheel in wheelhouse.wheels.items():
        names = zipfile.ZipFile(wheel).namelist()
        package = distribution.replace("-", "_")
        assert f"{package}/py.typed" in names
        assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names), distribution
        assert {package} == {name.partition("/")[0] for name in names if ".dist-info" not in name}
