"""The distributions of this repository, as their pyproject.toml files describe them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

PRIVATE = frozenset(
    {"formal-cluster-store-redis-test", "formal-cluster-bigquery", "formal-cluster-store-nats"}
)
"""Never uploaded: a store for tests, and examples that are run from the repository."""


def normalized(name: str) -> str:
    """A distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


@dataclass(frozen=True)
class Requirement:
    """One requirement: whose it is, and what it says after the name and the extras."""

    name: str
    rest: str

    @classmethod
    def parse(cls, text: str) -> Requirement:
        """Take a PEP 508 requirement apart, as far as it matters here."""
        match = re.match(r"([\w.-]+)\s*(?:\[[^]]*\])?\s*(.*)", text)
        assert match is not None, text
        return cls(normalized(match[1]), match[2])


@dataclass(frozen=True)
class Distribution:
    """One directory with a pyproject.toml, and the `[project]` table in it."""

    directory: Path
    project: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The name on an index."""
        return str(self.project["name"])

    @property
    def version(self) -> str:
        """The version that would be built."""
        return str(self.project["version"])

    @property
    def package(self) -> str:
        """The one package in it, which files built of it are named after, too."""
        return self.name.replace("-", "_")

    @property
    def extras(self) -> Mapping[str, list[str]]:
        """What each extra requires."""
        return dict(self.project.get("optional-dependencies", {}))

    @property
    def requirements(self) -> Iterator[Requirement]:
        """Everything it requires, in any extra or in none."""
        for text in chain(self.project["dependencies"], *self.extras.values()):
            yield Requirement.parse(text)


def distributions(root: Path = ROOT) -> list[Distribution]:
    """The workspace's members, by directory."""
    members = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["uv"]["workspace"]
    directories = sorted(path for pattern in members["members"] for path in root.glob(pattern))
    return [Distribution(directory, _project(directory)) for directory in directories]


def _project(directory: Path) -> Mapping[str, Any]:
    project = tomllib.loads((directory / "pyproject.toml").read_text())["project"]
    assert isinstance(project, dict)
    return project
