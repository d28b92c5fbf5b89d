"""What the templates make works untouched: installed with our wheels, it passes its own checks.

Takes minutes, so `make test` leaves it out: `make kit-check` runs it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UV = ROOT / "tools" / "uv"


@pytest.fixture(scope="module")
def constraints(tmp_path_factory, run) -> Path:
    """Our distributions from our wheels, the others in the versions of uv.lock."""
    directory = tmp_path_factory.mktemp("wheelhouse")
    build = ("build", "--quiet", "--all-packages", "--no-sources", "--out-dir", directory)
    run(UV, *build, cwd=ROOT)
    export = ("export", "--quiet", "--frozen", "--all-packages", "--no-hashes")
    locked = run(UV, *export, "--no-emit-workspace", cwd=ROOT)
    ours = (
        f"{path.name.partition('-')[0].replace('_', '-')} @ {path.as_uri()}\n"
        for path in directory.glob("*.whl")
    )
    file = directory / "constraints.txt"
    file.write_text("".join(ours) + locked)
    return file


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("family", ["discovery", "store"])
def test_a_project_of_the_template_installs_is_listed_and_passes_its_own_checks(
    family, template, constraints, tmp_path, run
):
    project = template.copy(family, tmp_path / "project")
    venv = tmp_path / "venv"
    run(UV, "venv", "--quiet", "--no-project", "--python", sys.executable, venv, cwd=tmp_path)
    python = ("--python", venv / "bin" / "python")
    what = ("--group", project / "pyproject.toml:dev", "--editable", project)
    install = ("pip", "install", "--quiet", *python, "--constraints", constraints)
    run(UV, *install, *what, cwd=tmp_path)

    listing = run(venv / "bin" / "formal-cluster", "plugins", "--import", "--json", cwd=project)
    name = {"discovery": "roster", "store": "shelf"}[family]
    assert "loaded" in [
        plugin["status"]
        for plugin in json.loads(listing)
        if (family, name) == (plugin["family"], plugin["name"])
    ]
    for command in (["ruff", "check"], ["ruff", "format", "--check"], ["mypy"], ["pytest"]):
        run(venv / "bin" / command[0], *command[1:], cwd=project)
