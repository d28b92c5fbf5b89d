"""The command: play scenarios, print what came of them, write the report."""

from __future__ import annotations

import argparse
import asyncio
import datetime
import itertools
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from formal_cluster_failover import kept, report, sandbox
from formal_cluster_failover.execute import Options, Result, play
from formal_cluster_failover.scenario import Need, Scenario
from formal_cluster_failover.scenarios import ALL, BY_NAME
from formal_cluster_failover.scenarios.troubles import faketime

_SECOND_ETCD = "FORMAL_CLUSTER_TEST_ETCD"


def main() -> int:
    """Exit status 0 if everything held and no target was missed."""
    options = _arguments()
    if options.list:
        for scenario in ALL:
            sys.stdout.write(f"{scenario.name:24} {scenario.title}\n")
        return 0
    lacks = None if options.loopback or sandbox.is_inside() else sandbox.missing()
    if not options.loopback and not sandbox.is_inside() and lacks is None:
        return sandbox.run_inside(sys.argv[1:])
    missing = {}
    if not sandbox.is_inside():
        missing[Need.SANDBOX] = lacks or "loopback addresses were asked for"
    if faketime() is None:
        missing[Need.FAKETIME] = "libfaketime is not installed (Debian: libfaketime)"
    try:
        return asyncio.run(_run(options, missing))
    except KeyboardInterrupt:
        return 130


async def _run(arguments: argparse.Namespace, missing: dict[Need, str]) -> int:
    scenarios = [BY_NAME[name] for name in arguments.scenarios] or list(ALL)
    passes = kept.read(arguments.results)
    titled = [(_title(etcd, tls=tls), etcd, tls) for etcd, tls in _passes(arguments)]
    with _home(arguments.home) as home:
        for number, (title, etcd, tls) in enumerate(titled):
            options = Options(
                home=home / str(number), seed=arguments.seed, etcd=etcd, tls=tls, missing=missing
            )
            _say(f"== {title}")
            results = next((each.results for each in passes if each.title == title), None)
            if results is None:
                results = []
                passes.append(report.Pass(title, _machine(), results))
            played = {result.name for result in results}
            for scenario in scenarios:
                if scenario.name not in played:
                    results.append(await _play(scenario, options))
                    kept.write(arguments.results, passes)
            if arguments.write is not None:
                arguments.write.write_text(report.document(passes))
    everything = itertools.chain.from_iterable(each.results for each in passes)
    return 0 if all(result.holds for result in everything) else 1


async def _play(scenario: Scenario, options: Options) -> Result:
    _say(f"-- {scenario.name}: {scenario.title}")
    result = await play(scenario, options)
    if result.skipped is not None:
        _say(f"   not run: {result.skipped}")
        return result
    for measure in result.measures:
        _say(f"   {report.line(measure)}")
    for note in result.notes:
        _say(f"   {note}")
    for wrong in result.wrong:
        _say(f"   WRONG: {wrong}")
    verdict = "holds" if result.holds else "does not hold"
    _say(
        f"   {verdict}; {result.lost} of {result.acknowledged} acknowledged strict hits lost; "
        f"{result.seconds:.0f} s"
    )
    return result


def _title(etcd: Path | None, *, tls: bool) -> str:
    return f"etcd {_version(etcd)}, {'with' if tls else 'without'} TLS"


def _passes(arguments: argparse.Namespace) -> list[tuple[Path | None, bool]]:
    """Which etcds are run, and whether with TLS."""
    first: Path | None = arguments.etcd
    if not arguments.all_passes:
        return [(first, arguments.tls)]
    second = os.environ.get(_SECOND_ETCD)
    return [(first, False), (Path(second) if second else first, True)]


class _home:  # noqa: N801  used like a function
    """A directory for everything; one that nobody named is deleted if all goes well."""

    def __init__(self, named: Path | None) -> None:
        self._named = named

    def __enter__(self) -> Path:
        self._path = self._named or Path(tempfile.mkdtemp(prefix="formal-cluster-failover-"))
        return self._path

    def __exit__(self, *_: object) -> None:
        if self._named is None:
            shutil.rmtree(self._path, ignore_errors=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m formal_cluster_failover", description="Real failover scenarios."
    )
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="default: all")
    parser.add_argument("--list", action="store_true", help="name the scenarios")
    parser.add_argument("--write", type=Path, help="write the report to this file")
    parser.add_argument(
        "--results", type=Path, help="keep results in this file; what it has is not played again"
    )
    parser.add_argument("--home", type=Path, help="keep logs and data in this new directory")
    parser.add_argument("--seed", type=int, default=1, help="of the order of hits")
    parser.add_argument("--etcd", type=Path, help="the etcd program")
    parser.add_argument("--tls", action="store_true", help="with TLS between the instances")
    parser.add_argument("--loopback", action="store_true", help="no namespaces")
    parser.add_argument(
        "--all-passes",
        action="store_true",
        help=f"once without TLS, once with it and with the etcd that {_SECOND_ETCD} names",
    )
    options = parser.parse_args()
    unknown = set(options.scenarios) - BY_NAME.keys()
    if unknown:
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}; see --list")
    return options


def _version(etcd: Path | None) -> str:
    program = str(etcd) if etcd is not None else "etcd"
    told = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    return told.stdout.split()[2]


def _machine() -> str:
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    now = datetime.datetime.now(datetime.UTC).date()
    return (
        f"{now}: {os.cpu_count()} cores of {models[0] if models else platform.machine()}, "
        f"Linux {platform.release()}, CPython {platform.python_version()}."
    )


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
