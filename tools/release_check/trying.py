"""Installs the wheels as a user would and uses them, where nothing of the repository is at hand.

Ours come from the directory of wheels and from nowhere else, which is checked; everything else
comes from the package index in the newest versions allowed, as it will on the day of the release.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from tools.release_check.building import Built
from tools.release_check.environment import Environment, run

from formal_cluster.hookspecs import FAMILIES

INSIDE = Path(__file__).with_name("inside.py")
CORE = "formal-cluster"
EVERYTHING = ("formal-cluster-conformance[ecs]", "formal-cluster-bigquery")
"""What is installed beside all extras."""
DEMO_ADDRESSES = "127.0.77.1,127.0.77.2,127.0.77.3"
"""Not the demonstration's own, on which a running instance or demonstration may listen."""


class NotAsPromised(Exception):
    """What was installed is not what was built, or does not do what it should."""


def extras(built: Sequence[Built]) -> list[str]:
    """The names of core's extras."""
    [core] = [each.distribution for each in built if each.distribution.name == CORE]
    return sorted(core.extras)


def try_extra(extra: str, built: Sequence[Built], directory: Path) -> None:
    """Install core with one extra, or with none if it is empty, and load all of it."""
    environment = Environment(directory)
    wanted = f"{CORE}[{extra}]" if extra else CORE
    environment.install(*_afresh(built), *_sources(built), _requirement(wanted, built))
    _check(environment, built)
    _raise_any(_not_brought(environment, built))


def try_everything(built: Sequence[Built], directory: Path) -> Environment:
    """Install all extras and the rest at once, and load all of it."""
    environment = Environment(directory)
    everything = (f"{CORE}[{','.join(extras(built))}]", *EVERYTHING)
    requirements = [_requirement(each, built) for each in everything]
    environment.install(*_afresh(built), *_sources(built), *requirements)
    _check(environment, built)
    return environment


def try_conformance(environment: Environment, directory: Path) -> None:
    """The quick conformance of the fastest driver."""
    directory.mkdir()
    suite = ("conformance", "--store", "memory", "--profile", "state", "--quick", "--seed", "1")
    environment.formal_cluster(*suite, cwd=directory)


def try_demonstration(built: Sequence[Built], directory: Path) -> None:
    """Install the demonstration with pip, and play it in an empty directory."""
    environment = Environment(directory / "venv", "--seed")
    environment.install_with_pip(*_sources(built), _requirement(f"{CORE}[demo]", built))
    _check(environment, built)
    empty = directory / "empty"
    empty.mkdir()
    environment.formal_cluster("demo", "--addresses", DEMO_ADDRESSES, cwd=empty)
    _raise_any(f"the demonstration leaves {path.name} behind" for path in empty.iterdir())


def _sources(built: Sequence[Built]) -> Iterator[str]:
    for directory in sorted({each.wheel.parent for each in built}):
        yield from ("--find-links", str(directory))


def _afresh(built: Sequence[Built]) -> Iterator[str]:
    """Lest uv takes what it remembers of an earlier build of the same version."""
    for each in built:
        yield from ("--refresh-package", each.distribution.name)


def _requirement(text: str, built: Sequence[Built]) -> str:
    """Exactly what was built, even if the index has a newer one."""
    return f"{text}=={built[0].distribution.version}"


def _check(environment: Environment, built: Sequence[Built]) -> None:
    _raise_any(environment.foreign_files([each.wheel for each in built]))
    environment.check()
    version = environment.formal_cluster("--version").split()[-1]
    if version != built[0].distribution.version:
        raise NotAsPromised(f"formal-cluster --version says {version}")
    environment.plugins()
    run(environment.python, "-I", INSIDE, cwd=environment.directory)


def _not_brought(environment: Environment, built: Sequence[Built]) -> Iterator[str]:
    """Which drivers of the distributions that were installed were not loaded."""
    installed = environment.installed()
    loaded = {name for name, each in environment.plugins().items() if each["status"] == "loaded"}
    for each in built:
        if each.distribution.name not in installed:
            continue
        for name, family in FAMILIES.items():
            drivers = each.distribution.project.get("entry-points", {}).get(family.group, {})
            for driver in drivers:
                if (name, driver) not in loaded:
                    yield f"formal-cluster plugins does not show the {name} driver {driver}"


def _raise_any(problems: Iterator[str]) -> None:
    if found := list(problems):
        raise NotAsPromised("\n".join(found))
