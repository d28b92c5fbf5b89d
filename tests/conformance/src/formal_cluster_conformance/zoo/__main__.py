"""`python -m formal_cluster_conformance.zoo`: calibrate the suite, and write the document's tables.

Exit code 1 if a wrong driver was caught less often than in 19 of 20 runs.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from formal_cluster_conformance.documents import replaced, reports_table, rules_tables, zoo_table
from formal_cluster_conformance.zoo.calibrate import KINDS, Catch, catch

_ENOUGH = 19 / 20


async def _calibrate(runs: int, names: Sequence[str]) -> list[Catch]:
    catches = []
    for kind in KINDS:
        if names and kind.__name__ not in names:
            continue
        caught = await catch(kind, range(runs))
        sys.stderr.write(f"{caught.name:24} {caught.rule:14} {len(caught.caught)}/{runs}\n")
        for seed, otherwise in caught.otherwise.items():
            sys.stderr.write(f"    seed {seed}: {otherwise}\n")
        catches.append(caught)
    return catches


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="only these wrong drivers")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument(
        "--write",
        type=Path,
        help="the document that takes the tables; reports are in the directory of its name",
    )
    parser.add_argument("--rules-only", action="store_true", help="run nothing: rules and reports")
    arguments = parser.parse_args()
    if arguments.write is not None:
        text = replaced(arguments.write.read_text(), "rules", rules_tables())
        reports = reports_table(arguments.write.with_suffix(""))
        arguments.write.write_text(replaced(text, "reports", reports))
    if arguments.rules_only:
        return 0
    catches = asyncio.run(_calibrate(arguments.runs, arguments.names))
    if arguments.write is not None:
        table = zoo_table(catches)
        arguments.write.write_text(replaced(arguments.write.read_text(), "zoo", table))
    return int(any(len(each.caught) < _ENOUGH * arguments.runs for each in catches))


if __name__ == "__main__":
    sys.exit(main())
