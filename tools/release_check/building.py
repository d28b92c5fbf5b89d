"""Builds every wheel and every sdist, and looks whether they are fit to be uploaded."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.release_check import contents
from tools.release_check.environment import UV, run
from tools.release_check.workspace import PRIVATE, ROOT, Distribution


@dataclass(frozen=True)
class Built:
    """What was built of one distribution."""

    distribution: Distribution
    wheel: Path
    sdist: Path


def build(ours: Sequence[Distribution], directory: Path) -> list[Built]:
    """Build each sdist, and each wheel from its sdist, as an installer without wheels would."""
    run(UV, "build", "--quiet", "--all-packages", "--no-sources", "--out-dir", directory)
    return [
        Built(
            each,
            wheel=directory / f"{each.package}-{each.version}-py3-none-any.whl",
            sdist=directory / f"{each.package}-{each.version}.tar.gz",
        )
        for each in ours
    ]


def differences_from_source(built: Sequence[Built], directory: Path) -> Iterator[str]:
    """Where wheels that are built from the repository differ from those built from the sdists."""
    options = ("--quiet", "--all-packages", "--no-sources", "--wheel")
    run(UV, "build", *options, "--out-dir", directory)
    for each in built:
        direct = contents.read(directory / each.wheel.name)
        for name in contents.differences(direct, contents.read(each.wheel)):
            yield f"{each.wheel.name}: {name} differs, or is in one of the two only"


def problems(built: Sequence[Built]) -> Iterator[str]:
    """What is wrong with what is in the archives."""
    licence = (ROOT / "LICENSE").read_bytes()
    for each in built:
        wheel, sdist = contents.read(each.wheel), contents.read(each.sdist)
        for problem in contents.wheel_problems(each.distribution, wheel, licence):
            yield f"{each.wheel.name}: {problem}"
        for problem in contents.sdist_problems(each.distribution, sdist, wheel):
            yield f"{each.sdist.name}: {problem}"


def check_with_twine(built: Sequence[Built]) -> None:
    """Raise if an index would refuse an archive, or could not show its README."""
    archives = [path for each in built for path in (each.wheel, each.sdist)]
    tool = (UV, "tool", "run", "--quiet", "--with", "readme-renderer[md]", "twine")
    run(*tool, "check", "--strict", *archives)


def set_private_apart(built: Sequence[Built], directory: Path) -> list[Built]:
    """Move what is never uploaded to another directory: `twine upload dist/*` takes all it sees."""
    directory.mkdir()
    return [
        Built(
            each.distribution,
            *(Path(shutil.move(path, directory)) for path in (each.wheel, each.sdist)),
        )
        if each.distribution.name in PRIVATE
        else each
        for each in built
    ]
