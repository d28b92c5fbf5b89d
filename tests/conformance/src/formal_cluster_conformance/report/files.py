"""Writes a report: `out.json`, and beside it `out.md`, `out.xml` (JUnit) and `out.svg`."""

from __future__ import annotations

import json
from pathlib import Path

from formal_cluster.errors import ConfigError
from formal_cluster_conformance.report.badge import badge
from formal_cluster_conformance.report.document import FORMAT, Document, dump
from formal_cluster_conformance.report.junit import junit
from formal_cluster_conformance.report.markdown import markdown


def write(report: Document, path: Path) -> None:
    """Write all four.

    Raises:
        ConfigError: They cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dump(report))
        for suffix, render in ((".md", markdown), (".xml", junit), (".svg", badge)):
            path.with_suffix(suffix).write_text(render(report))
    except OSError as error:
        raise ConfigError(f"the report {path} cannot be written: {error.strerror}") from error


def read(path: Path) -> Document:
    """A report that was written before.

    Raises:
        ConfigError: There is none.
    """
    try:
        report = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read as a report: {error}") from error
    if not isinstance(report, dict) or report.get("format") != FORMAT:
        raise ConfigError(f"{path} is no conformance report of format {FORMAT}")
    return report
