"""Where the figures go: Markdown between a section's markers, SVG in the docs, raw as JSON."""

from __future__ import annotations

import datetime
import json
import os
import platform
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from benchmarks.bench import Effort, Section, Table
from benchmarks.plots import svg

_ROOT = Path(__file__).parent.parent
_README = Path(__file__).with_name("README.md")
_CHARTS = _ROOT / "docs" / "benchmarks"
_RAW = Path(__file__).with_name("raw")


def markdown(section: Section, effort: Effort, *, seconds: float) -> str:
    """A section's tables, with what they were taken on."""
    return "\n".join(
        [machine(section, effort, seconds), "", *_tables(section), section.markdown]
    ).rstrip()


def keep(name: str, text: str, section: Section) -> None:
    """Put the text between the section's markers in README.md, and draw its charts."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    readme = _README.read_text(encoding="utf-8")
    if begin not in readme or end not in readme:
        raise SystemExit(f"{_README} lacks the lines {begin} and {end}")
    head, _, rest = readme.partition(begin)
    _README.write_text(f"{head}{begin}\n{text}\n{end}{rest.partition(end)[2]}", encoding="utf-8")
    _CHARTS.mkdir(exist_ok=True)
    for chart in section.charts:
        (_CHARTS / f"{chart.slug}.svg").write_text(svg(chart), encoding="utf-8")


def keep_raw(name: str, section: Section) -> Path:
    """Write everything measured to a file that git ignores."""
    _RAW.mkdir(exist_ok=True)
    path = _RAW / f"{name}.json"
    path.write_text(json.dumps(section.raw, indent=1), encoding="utf-8")
    return path


def machine(section: Section, effort: Effort, seconds: float) -> str:
    """What the figures were taken on, and how."""
    cores = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return (
        f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}: {os.cpu_count()} cores of "
        f"{cores[1] if cores else platform.machine()}, {platform.system()} {platform.release()}, "
        f"CPython {platform.python_version()}, etcd {_version('etcd', '--version')}, "
        f"Redis {_version('redis-server', '--version')}; "
        + (f"medians of {section.rounds} rounds" if section.rounds > 1 else "each measured once")
        + f"; it took {seconds:.0f} s."
        + (" **A quick run: the figures mean little.**" if effort.quick else "")
    )


def _version(*command: str) -> str:
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"\d+\.\d+\.\d+", said)
    return found[0] if found else "of unknown version"


def _tables(section: Section) -> Iterator[str]:
    for table in section.tables:
        yield f"**{table.title}**"
        yield ""
        yield from _rows(table)
        yield ""
        if table.note:
            yield table.note
            yield ""


def _rows(table: Table) -> Iterator[str]:
    yield "| " + " | ".join(table.columns) + " |"
    yield "|---|" + "--:|" * (len(table.columns) - 1)
    for row in table.rows:
        yield "| " + " | ".join(row) + " |"
