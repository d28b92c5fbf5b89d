"""`formal-cluster status`: ask a running instance how the cluster stands."""

from __future__ import annotations

import datetime
import json
import sys
import urllib.error
import urllib.request
from typing import Any

import click

EXIT_BY_STATE = {"clustered": 0, "degraded": 3, "standalone": 4}
_UNREACHABLE = 1


@click.command()
@click.option(
    "--url", default="http://127.0.0.1:8181", show_default=True, help="The instance's HTTP API."
)
@click.option("--journal", is_flag=True, help="Show what the instance decided, and why.")
@click.option("--json", "as_json", is_flag=True, help="Print what the instance answers as it is.")
def status(url: str, *, journal: bool, as_json: bool) -> None:
    """Show the cluster as one running instance sees it.

    With --journal: its last decisions about the cluster instead, each with its evidence.

    Exit code: 0 clustered (or the journal was shown), 3 degraded, 4 standalone, 1 when the instance
    does not answer.
    """
    base = url.rstrip("/") + "/v1/cluster"
    if journal:
        document = _fetch(base + "/journal", key="journal")
        if as_json:
            click.echo(json.dumps(document, indent=2))
        else:
            _show_journal(document["journal"])
        return
    document = _fetch(base, key="state")
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        _show(document)
    sys.exit(EXIT_BY_STATE.get(document["state"], _UNREACHABLE))


def _fetch(url: str, *, key: str) -> dict[str, Any]:
    if not url.startswith(("http://", "https://")):
        raise click.UsageError(f"--url {url!r} is not an http(s) address")
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  checked above
            document = json.load(answer)
    except (urllib.error.URLError, TimeoutError, ValueError) as error:
        click.echo(f"error: no instance answers at {url}: {error}", err=True)
        sys.exit(_UNREACHABLE)
    if not isinstance(document, dict) or key not in document:
        click.echo(f"error: {url} is not an instance of formal-cluster", err=True)
        sys.exit(_UNREACHABLE)
    return document


def _show(document: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.print(f"[bold]{document['self']}[/] is [bold]{document['state']}[/]")
    if document["reason"]:
        console.print(f"  {document['reason']}")
    console.print(
        f"cluster {document['cluster_id']}  revision {document['revision']}  "
        f"counters {document['stale_ms']} ms old, {document['counters']['subjects']} subjects"
    )
    for warning in document["store"]["warnings"]:
        console.print(f"[yellow]store:[/] {warning}")
    if document["policy_error"]:
        console.print(f"[red]policies:[/] {document['policy_error']}")
    if document["counters"]["clock_warning"]:
        console.print(f"[red]clock:[/] {document['counters']['clock_warning']}")
    if document["clock"]["warning"]:
        console.print(f"[red]clock:[/] {document['clock']['warning']}")
    table = Table("member", "address", "role", "healthy", "leader")
    for member in document["members"]:
        healthy = {True: "yes", False: "[red]no[/]", None: "?"}[member["healthy"]]
        leads = "*" if member["id"] == document["leader"] else ""
        table.add_row(member["id"], member["address"], member["role"], healthy, leads)
    console.print(table)


def _show_journal(entries: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("when (UTC)", "planner", "decision", "evidence", "outcome")
    for entry in entries:
        when = datetime.datetime.fromtimestamp(entry["at"], datetime.UTC)
        cells = (entry["planner"], entry["step"], entry["evidence"], entry["outcome"])
        table.add_row(f"{when:%Y-%m-%d %H:%M:%S}", *map(Text, cells))
    Console().print(table if entries else "nothing has been decided yet")
