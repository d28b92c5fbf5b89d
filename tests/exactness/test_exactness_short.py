"""The short form of the exactness run: some thousand decisions, a bad clock, one kill."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SOURCES = (HERE / "src", HERE.parent / "failover" / "src")

pytestmark = [pytest.mark.etcd, pytest.mark.timeout(500)]


def test_strict_decisions_are_exact_with_a_bad_clock_and_a_kill(tmp_path: Path) -> None:
    paths = [*map(str, SOURCES), os.environ.get("PYTHONPATH", "")]
    home = tmp_path / "home"

    done = subprocess.run(
        [
            *(sys.executable, "-m", "formal_cluster_exactness", "--short", "--loopback"),
            *("--hits", "3000", "--waiting", "8", "--home", str(home)),
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr[-3_000:]
    assert "| SIGKILL of an instance and its etcd | 1 | 1 |" in done.stdout
    assert "Told that its clock is off: c " in done.stdout
