"""`make release-check`: builds the release into dist/, and tries it. Ends at the first failure.

Takes a few minutes, the demonstration half of them. dist/ holds what may be uploaded afterwards;
dist/private/ what is never uploaded. docs/releasing.md has the steps before and after.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text
from tools.release_check import building, readiness, trying, versions
from tools.release_check.building import Built
from tools.release_check.environment import CommandFailed, Environment
from tools.release_check.trying import NotAsPromised
from tools.release_check.workspace import ROOT, distributions

DIST = ROOT / "dist"


class Step(NamedTuple):
    """One line of the report: what is checked, and what to do if it does not hold."""

    name: str
    check: Callable[[], object]
    mend: str


class _Release:
    """The steps, in order; what one builds the later ones use."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._ours = distributions()
        self._built: list[Built] = []
        self._everything: Environment | None = None

    def steps(self) -> Iterable[Step]:
        yield Step(
            f"one version, {self._ours[0].version}, required exactly",
            lambda: _none(versions.problems(self._ours, (ROOT / versions.CHART).read_text())),
            "tools/release_check/versions.py writes one version everywhere: docs/releasing.md",
        )
        yield Step(
            f"{len(self._ours)} sdists, and a wheel of each from it",
            self._build,
            "build that distribution alone, for example: tools/uv build core",
        )
        yield Step(
            "wheels from the repository are the same",
            lambda: _none(
                building.differences_from_source(self._built, self._scratch / "from-source")
            ),
            "an sdist lacks what its wheel needs: look at [tool.hatch.build] and .gitignore",
        )
        yield Step(
            "contents and metadata",
            lambda: _none(building.problems(self._built)),
            "mend the named distribution's pyproject.toml, README.md or files",
        )
        yield Step(
            "an index would take them (twine)",
            lambda: building.check_with_twine(self._built),
            "mend the named distribution's README.md or pyproject.toml",
        )
        yield Step("what is private is set apart", self._set_apart, "empty dist/ and run it again")
        for extra in ("", *trying.extras(self._built)):
            yield Step(
                f"formal-cluster[{extra}]" if extra else "formal-cluster alone",
                partial(trying.try_extra, extra, self._built, self._scratch / f"extra-{extra}"),
                "a dependency is missing in its pyproject.toml, or one on the index has changed",
            )
        yield Step(
            "all of it together",
            self._try_everything,
            "a dependency is missing in its pyproject.toml, or two exclude each other",
        )
        yield Step(
            "quick conformance of the store memory",
            self._try_conformance,
            "run that command in the repository: does it fail there, too?",
        )
        yield Step(
            "installed with pip, the demonstration",
            lambda: trying.try_demonstration(self._built, self._scratch / "demo"),
            "run `make demo`: does it fail there, too? If not, a file is missing in a wheel",
        )

    def _build(self) -> None:
        shutil.rmtree(DIST, ignore_errors=True)
        self._built = building.build(self._ours, DIST)

    def _set_apart(self) -> None:
        self._built = building.set_private_apart(self._built, DIST / "private")

    def _try_everything(self) -> None:
        self._everything = trying.try_everything(self._built, self._scratch / "everything")

    def _try_conformance(self) -> None:
        assert self._everything is not None
        trying.try_conformance(self._everything, self._scratch / "conformance")


def _none(problems: Iterable[str]) -> None:
    if found := list(problems):
        raise NotAsPromised("\n".join(found))


def main() -> int:
    """Go through the steps, and report. The exit code."""
    console = Console(highlight=False)
    table = Table(Column("checked", overflow="fold"), Column("s", justify="right"), "result")
    with tempfile.TemporaryDirectory(prefix="formal-cluster-release-") as scratch:
        for step in _Release(Path(scratch)).steps():
            console.print(Text(f"{step.name} …", style="dim"))
            begun = time.monotonic()
            failure = _failure(step)
            result = Text("ok", "green") if failure is None else Text("failed", "red")
            table.add_row(Text(step.name), f"{time.monotonic() - begun:.0f}", result)
            if failure is not None:
                console.print(table)
                told = Text(f"{failure}\n\n{step.name}: {step.mend}.", style="red")
                console.print(told, soft_wrap=True)
                return 1
    console.print(table, f"All held. What was built is in {DIST.name}/.")
    for note in readiness.notes(ROOT, distributions()):
        console.print(Text(f"before an upload: {note}", style="yellow"), soft_wrap=True)
    return 0


def _failure(step: Step) -> NotAsPromised | CommandFailed | None:
    try:
        step.check()
    except (NotAsPromised, CommandFailed) as error:
        return error
    return None


if __name__ == "__main__":
    sys.exit(main())
