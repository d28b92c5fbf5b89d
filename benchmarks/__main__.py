"""Measure, print the tables, and with `--write` keep them in README.md and draw the charts."""

from __future__ import annotations

import argparse
import time

from benchmarks import (
    accuracy,
    cache,
    count_and_read,
    held,
    latency,
    memory,
    outage,
    report,
    reserved,
    sharing,
    staleness,
    strict,
    three_instances,
    throughput,
)
from benchmarks.bench import Effort, Run
from benchmarks.contestants import CONTESTANTS

BENCHES: dict[str, Run] = {
    "throughput": throughput.run,
    "latency": latency.run,
    "sharing": sharing.run,
    "accuracy": accuracy.run,
    "outage": outage.run,
    "count-and-read": count_and_read.run,
    "strict": strict.run,
    "three-instances": three_instances.run,
    "reserved": reserved.run,
    "staleness": staleness.run,
    "memory": memory.run,
    "cache": cache.run,
    "held": held.run,
}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "bench", nargs="*", help=f"what to measure, of: {', '.join(BENCHES)} (default: all)"
    )
    parser.add_argument("--quick", action="store_true", help="a look whether everything works")
    parser.add_argument("--only", action="append", default=[], metavar="CONTESTANT")
    parser.add_argument("--write", action="store_true", help="keep the tables and the charts")
    given = parser.parse_args()
    unknown = set(given.bench) - set(BENCHES)
    if unknown:
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    strangers = set(given.only) - {contestant.name for contestant in CONTESTANTS}
    if strangers:
        parser.error(f"there is no contestant {', '.join(sorted(strangers))}")
    effort = Effort(quick=given.quick, only=frozenset(given.only))
    for name in given.bench or BENCHES:
        begun = time.monotonic()
        section = BENCHES[name](effort)
        text = report.markdown(section, effort, seconds=time.monotonic() - begun)
        print(f"## {name}\n\n{text}\n", flush=True)
        report.keep_raw(name, section)
        if given.write:
            report.keep(name, text, section)


if __name__ == "__main__":
    main()
