"""`python -m formal_cluster_exactness`: hits under faults, then the exact check of all answers."""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from formal_cluster_exactness.checker import check
from formal_cluster_exactness.plan import Kind, faults
from formal_cluster_exactness.report import report
from formal_cluster_exactness.run import Options, Run
from formal_cluster_failover import sandbox
from formal_cluster_failover.beds import Bed, Loopback, Namespaces

_SHORT = (Kind.KILL, Kind.SET_CLOCK)


def main() -> int:
    """0 if nothing is wrong."""
    arguments = _arguments()
    if not arguments.loopback and not sandbox.is_inside():
        missing = sandbox.missing()
        if missing is None:
            return sandbox.run_inside(sys.argv[1:], module="formal_cluster_exactness")
        _say(f"no partitions, as {missing}")
    partitions = sandbox.is_inside()
    kinds = [k for k in Kind if partitions or k is not Kind.CUT]
    if arguments.short:
        kinds = list(_SHORT)
    options = Options(
        arguments.hits, arguments.seed, arguments.grade, arguments.waiting, len(kinds)
    )
    bed: Bed = Namespaces() if partitions else Loopback()
    home = arguments.home or Path(tempfile.mkdtemp(prefix="formal-cluster-exactness-"))
    _say(f"seed {options.seed}, files in {home}")
    try:
        run = Run(bed, home, options)
        plan = faults(options.seed, kinds)
        course = run.play(plan, _say)
        verdict = check((instance.home for instance in run.instances), options.grade)
    finally:
        bed.close()
    text = report(verdict, course, options, versions=_versions(), partitions=partitions)
    _say(text)
    if arguments.write is not None:
        arguments.write.write_text(text)
    if arguments.home is None and not verdict.wrong:
        shutil.rmtree(home)
    return 1 if verdict.wrong else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m formal_cluster_exactness",
        description="Strict decisions of three instances under faults, checked exactly.",
    )
    parser.add_argument("--hits", type=int, default=1_000_000, help="decisions (default: 10^6)")
    parser.add_argument("--seed", type=int, default=1, help="of the faults and the hits")
    parser.add_argument("--grade", choices=("strict", "reserved"), default="strict")
    parser.add_argument("--waiting", type=int, default=128, help="accesses waiting per instance")
    parser.add_argument("--short", action="store_true", help="kills and clocks alone")
    parser.add_argument("--loopback", action="store_true", help="no namespaces, no partitions")
    parser.add_argument("--home", type=Path, help="keep everything in this new directory")
    parser.add_argument("--write", type=Path, help="write the report to this file")
    return parser.parse_args()


def _versions() -> str:
    told = subprocess.run(["etcd", "--version"], capture_output=True, text=True, check=True)
    return (
        f"{datetime.datetime.now(datetime.UTC).date()}: {os.cpu_count()} cores, "
        f"CPython {platform.python_version()}, etcd {told.stdout.split()[2]}, "
        f"Linux {platform.release()}."
    )


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
