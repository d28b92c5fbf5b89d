"""`formal-cluster status`: ask a running instance how the cluster stands."""

from __future__ import annotations

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
@click.option("--json", "as_json", is_flag=True, help="Print /v1/cluster as it is.")
def status(url: str, *, as_json: bool) -> None:
    """Show the cluster as one running instance sees it.

    Exit code: 0 clustered, 3 degraded, 4 standalone, 1 when the instance does not answer.
    """
    document = _fetch(url.rstrip("/") + "/v1/cluster")
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        _show(document)
    sys.exit(EXIT_BY_STATE.get(document["state"], _UNREACHABLE))


def _fetch(url: str) -> dict[str, Any]:
    if not url.startswith(("http://", "https://")):
        raise click.UsageError(f"--url {url!r} is not an http(s) address")
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  checked above
            document = json.load(answer)
    except (urllib.error.URLError, TimeoutError, ValueError) as error:
        click.echo(f"error: no instance answers at {url}: {error}", err=True)
        sys.exit(_UNREACHABLE)
    if not isinstance(document, dict) or "state" not in document:
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
    if document["policy_error"]:
        console.print(f"[red]policies:[/] {document['policy_error']}")
    if document["clock"]["warning"]:
        console.print(f"[red]clock:[/] {document['clock']['warning']}")
    table = Table("member", "address", "role", "healthy", "leader")
    for member in document["members"]:
        healthy = {True: "yes", False: "[red]no[/]", None: "?"}[member["healthy"]]
        leads = "*" if member["id"] == document["leader"] else ""
        table.add_row(member["id"], member["address"], member["role"], healthy, leads)
    console.print(table)
