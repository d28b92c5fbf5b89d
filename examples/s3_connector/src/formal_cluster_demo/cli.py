"""`formal-cluster demo`."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click

from formal_cluster_demo import scenario
from formal_cluster_demo.polling import poll
from formal_cluster_demo.preconditions import problems
from formal_cluster_demo.process_table import naming
from formal_cluster_demo.processes import Processes
from formal_cluster_demo.report import JsonReport, Report, TextReport, held
from formal_cluster_demo.site import Site

_INTERRUPTED, _TERMINATED = 130, 143


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a step, then a summary.")
@click.option(
    "--addresses",
    default="127.0.0.1,127.0.0.2,127.0.0.3",
    show_default=True,
    help="Three loopback addresses; ports 2379 and 2380 of each are used.",
)
@click.option("--keep", is_flag=True, help="Keep the logs and data directories, and say where.")
def demo(*, as_json: bool, addresses: str, keep: bool) -> None:
    """Three clustered S3 proxies limit one user together; one is killed and comes back.

    Exit code: 0 when every step held, 1 when not, 130 after Ctrl-C.
    """
    places = [address.strip() for address in addresses.split(",")]
    found = problems(places)
    if found:
        _refuse(found, as_json=as_json)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))
    home = Path(tempfile.mkdtemp(prefix="formal-cluster-demo-"))
    try:
        ok = _play(home, places, JsonReport() if as_json else TextReport())
    except KeyboardInterrupt:
        click.echo("interrupted; everything that was started is stopped", err=True)
        sys.exit(_INTERRUPTED)
    finally:
        if keep:
            click.echo(f"logs and data are in {home}", err=True)
        else:
            _remove(home)
    sys.exit(0 if ok else 1)


def _play(home: Path, addresses: Sequence[str], report: Report) -> bool:
    started = time.monotonic()
    with Processes() as processes:
        steps = scenario.run(Site(home, addresses, processes), report)
    report.summary(steps, time.monotonic() - started)
    return held(steps)


def _remove(home: Path) -> None:
    """An etcd ends a moment after its connector was killed, and writes until then."""
    poll(lambda: naming(home), lambda some: not some, within_s=5)
    shutil.rmtree(home)


def _refuse(found: Sequence[str], *, as_json: bool) -> None:
    for problem in found:
        click.echo(json.dumps({"error": problem}) if as_json else f"error: {problem}", err=True)
    sys.exit(1)
