"""An empty virtual environment, and commands that see nothing of this repository."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tools.release_check.contents import read
from tools.release_check.workspace import ROOT

UV = ROOT / "tools" / "uv"
_OF_OTHER_ENVIRONMENTS = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "FORMAL_CLUSTER_")
_LAST_LINES = 40


class CommandFailed(Exception):
    """A command ended with another exit code than 0; its last output is in the message."""


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """What a command writes to stdout, in an environment without other Python environments.

    Raises:
        CommandFailed: Its exit code is not 0.
    """
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_OF_OTHER_ENVIRONMENTS)
    }
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        output = (done.stdout + done.stderr).splitlines()[-_LAST_LINES:]
        ended = f"{' '.join(map(str, command))}\nended with exit code {done.returncode}:"
        raise CommandFailed("\n".join([ended, *output]))
    return done.stdout


class Environment:
    """An empty virtual environment, for the Python that runs this."""

    def __init__(self, directory: Path, *options: str) -> None:
        """Make it.

        Args:
            directory: Where; better not in the repository.
            options: More for `uv venv`, for example `--seed` for pip.
        """
        self.directory = directory
        python = ("--python", sys.executable)
        run(UV, "venv", "--quiet", "--no-project", *python, *options, directory)
        self.python = directory / "bin" / "python"
        self.command = directory / "bin" / "formal-cluster"

    def install(self, *arguments: str | Path) -> None:
        """Install with `uv pip install`."""
        run(UV, "pip", "install", "--quiet", "--python", self.python, *arguments)

    def install_with_pip(self, *arguments: str | Path) -> None:
        """Install with the environment's own pip, which it has if made with `--seed`."""
        pip = (self.python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
        run(*pip, *arguments, cwd=self.directory)

    def formal_cluster(self, *arguments: str | Path, cwd: Path | None = None) -> str:
        """What the environment's `formal-cluster` writes, by default called in its directory."""
        return run(self.command, *arguments, cwd=cwd or self.directory)

    def installed(self) -> dict[str, str]:
        """The version of each distribution in it."""
        listing = run(UV, "pip", "list", "--python", self.python, "--format", "json")
        return {entry["name"]: entry["version"] for entry in json.loads(listing)}

    def check(self) -> None:
        """Raise if what is installed does not fit together."""
        run(UV, "pip", "check", "--quiet", "--python", self.python)

    def plugins(self) -> dict[tuple[str, str], dict[str, str]]:
        """What `formal-cluster plugins` says, by family and name, when all are imported."""
        listing = json.loads(self.formal_cluster("plugins", "--import", "--json"))
        return {(plugin["family"], plugin["name"]): plugin for plugin in listing}

    def foreign_files(self, wheels: Sequence[Path]) -> Iterator[str]:
        """Files that came from elsewhere than from those of these wheels that are installed."""
        [packages] = self.directory.glob("lib/*/site-packages")
        for wheel in wheels:
            name, version, *_ = wheel.name.split("-")
            record = packages / f"{name}-{version}.dist-info" / "RECORD"
            if not record.exists():
                continue
            for file, digest, _ in _rows(wheel, record.parent.name):
                if digest and digest != _digest(packages / file):
                    yield f"{file} is not the one of {wheel.name}"


def _rows(wheel: Path, info: str) -> list[list[str]]:
    return list(csv.reader(read(wheel)[f"{info}/RECORD"].decode().splitlines()))


def _digest(file: Path) -> str:
    digest = hashlib.sha256(file.read_bytes()).digest() if file.exists() else b""
    return "sha256=" + base64.urlsafe_b64encode(digest).decode().rstrip("=")
