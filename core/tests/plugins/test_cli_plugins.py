"""`formal-cluster` as a command, and its subcommand `plugins`."""

import importlib
import json

import click
import pytest
from click.testing import CliRunner

from formal_cluster.cli import SUBCOMMANDS, main
from formal_cluster.errors import (
    ConfigError,
    DiscoveryError,
    FormalClusterError,
    PluginError,
    PolicyLoadError,
    Unavailable,
)

CHOOSES_ACME = """
[discovery]
drivers = ["acme"]
[store]
driver = "acme"
[counters]
driver = "acme"
[enrichment]
drivers = []
"""


@pytest.fixture
def settings(tmp_path):
    path = tmp_path / "cluster.toml"
    path.write_text(CHOOSES_ACME)
    return str(path)


@pytest.fixture
def acme(distributions):
    for family in ("discovery", "store", "counters"):
        distributions.install(f"acme-{family}", family=family)


# ── the command itself ───────────────────────────────────────────────────────────────────────


def test_help_lists_every_subcommand_without_importing_one(formal_cluster):
    shown = formal_cluster("--help", PYTHONPROFILEIMPORTTIME="1")
    assert 0 == shown.returncode
    assert all(f"  {name} " in shown.stdout for name in SUBCOMMANDS)
    assert "formal_cluster.cli" in shown.stderr
    assert not [name for name in SUBCOMMANDS if f"formal_cluster.cli.{name}" in shown.stderr]
    heavy = ("pluggy", "pydantic", "aiohttp", "grpc", "rich")
    assert not [name for name in heavy if f" {name}\n" in shown.stderr]


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_help_describes_a_subcommand_as_the_subcommand_does_itself(name):
    module, _, attribute = SUBCOMMANDS[name].target.partition(":")
    command = getattr(importlib.import_module(module), attribute)
    assert (name, SUBCOMMANDS[name].help) == (command.name, command.help.partition("\n")[0])


def test_an_unknown_subcommand_is_a_usage_error():
    assert 2 == CliRunner().invoke(main, ["plugin"]).exit_code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError, 2),
        (PluginError, 2),
        (PolicyLoadError, 2),
        (DiscoveryError, 1),
        (Unavailable, 1),
        (FormalClusterError, 1),
    ],
)
def test_our_errors_end_with_their_message_and_an_exit_code_and_no_traceback(
    monkeypatch, error, code
):
    @click.command()
    def failing():
        raise error("first\nsecond")

    monkeypatch.setattr(type(main), "get_command", lambda *_: failing)
    result = CliRunner().invoke(main, ["failing"])
    assert (code, "", "error: first\nerror: second\n") == (
        result.exit_code,
        result.stdout,
        result.stderr,
    )


# ── plugins ──────────────────────────────────────────────────────────────────────────────────


def test_plugins_lists_what_is_chosen_as_loaded_and_the_rest_as_available(
    formal_cluster, acme, distributions, settings
):
    distributions.install("acme-more", driver="more", source="1 / 0")
    shown = formal_cluster("plugins", "--json", "--config", settings)
    status = {(r["family"], r["name"]): r["status"] for r in json.loads(shown.stdout)}
    assert 0 == shown.returncode
    assert {
        ("discovery", "acme"): "loaded",
        ("store", "acme"): "loaded",
        ("counters", "acme"): "loaded",
        ("discovery", "more"): "available",
        ("discovery", "static"): "available",
    }.items() <= status.items()


def test_plugins_ends_with_1_when_one_fails_and_says_why_in_words(
    formal_cluster, acme, distributions, settings
):
    distributions.install("acme-more", driver="more", source="import no_such_module")
    shown = formal_cluster("plugins", "--import", "--config", settings)
    assert 1 == shown.returncode
    assert (
        "discovery:more of acme-more 1.0: ModuleNotFoundError: No module named 'no_such_module'; "
        "reinstall it with what it needs: pip install --force-reinstall acme-more\n" in shown.stdout
    )


def test_plugins_shows_names_with_brackets_as_they_are(formal_cluster, distributions, settings):
    distributions.install("acme-store", "raise ValueError('[bold]x[/]')", family="store")
    shown = formal_cluster("plugins", "--config", settings)
    assert "ValueError: [bold]x[/]; upgrade" in shown.stdout


def test_plugins_reports_wrong_settings_as_an_error(formal_cluster, tmp_path):
    shown = formal_cluster("plugins", FORMAL_CLUSTER_CONFIG=str(tmp_path / "no.toml"))
    assert (2, "") == (shown.returncode, shown.stdout)
    assert f"error: {tmp_path / 'no.toml'}: there is no such settings file" in shown.stderr
