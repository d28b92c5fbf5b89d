"""A few of the real failover scenarios; `make failover-report` plays all of them.

How long things take is for the report: here other tests run beside.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from formal_cluster_failover.scenarios import ALL

SOURCE = Path(__file__).parent / "src"
QUICK = [scenario.name for scenario in ALL if scenario.quick]

pytestmark = [pytest.mark.etcd, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.mark.parametrize("name", QUICK)
def test_nothing_is_lost_and_the_cluster_is_itself_again(name: str, tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "formal_cluster_failover", name),
            *("--home", str(tmp_path / "home"), "--results", str(results)),
        ],
        cwd=SOURCE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert results.exists(), done.stdout + done.stderr
    ((result,),) = (each["results"] for each in json.loads(results.read_text()))
    if result["skipped"]:
        pytest.skip(result["skipped"])
    assert [] == result["wrong"], done.stdout
    assert 0 == result["lost"]
    assert result["acknowledged"] > 100


def test_names_and_titles_are_not_used_twice() -> None:
    assert len(ALL) == len({scenario.name for scenario in ALL})
    assert len(ALL) == len({scenario.title for scenario in ALL})
