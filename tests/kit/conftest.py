"""Projects made of the templates, as their authors make them."""

from __future__ import annotations

import os
import shutil
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path

import copier
import pytest

ROOT = Path(__file__).parents[2]
OTHER_ENVIRONMENTS = ("VIRTUAL_ENV", "PYTHONPATH", "FORMAL_CLUSTER_", "GIT_")
GIT = ("git", "-c", "user.name=Ada", "-c", "user.email=ada@example.org")


def _run(*command: str | Path, cwd: Path) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(OTHER_ENVIRONMENTS)}
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert 0 == done.returncode, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def _commit(directory: Path, message: str) -> None:
    _run(*GIT, "add", "--all", cwd=directory)
    _run(*GIT, "commit", "--quiet", "--message", message, cwd=directory)


@pytest.fixture(scope="session")
def run() -> Callable[..., str]:
    """Run a command in an environment that does not know of ours; its output."""
    return _run


class Template:
    """The templates in a repository of their own: what has not been committed here counts, too."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for name in ("copier.yml", "LICENSE"):
            shutil.copy(ROOT / name, directory)
        shutil.copytree(ROOT / "templates", directory / "templates")
        _run(*GIT, "init", "--quiet", cwd=directory)
        self.release("v0.1.0")

    def release(self, tag: str) -> None:
        """Commit everything and tag it."""
        _commit(self.directory, tag)
        _run(*GIT, "tag", tag, cwd=self.directory)

    def copy(self, family: str, to: Path, **answers: str) -> Path:
        """Make a project, with the default answers but for these."""
        given = {"family": family, "author": "Ada Lovelace", **answers}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Copier's own
            copier.run_copy(str(self.directory), to, data=given, defaults=True, quiet=True)
        return to

    def update(self, project: Path) -> None:
        """Bring the newest release of the template into a project that is committed."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            copier.run_update(project, defaults=True, overwrite=True, quiet=True)


@pytest.fixture(scope="session")
def template(tmp_path_factory) -> Template:
    return Template(tmp_path_factory.mktemp("template"))


@pytest.fixture
def own_template(tmp_path) -> Template:
    """One that a test may change."""
    (tmp_path / "template").mkdir()
    return Template(tmp_path / "template")


@pytest.fixture
def commit() -> Callable[[Path, str], None]:
    """Commit everything below a directory."""

    def commit(directory: Path, message: str) -> None:
        _run(*GIT, "init", "--quiet", cwd=directory)
        _commit(directory, message)

    return commit
