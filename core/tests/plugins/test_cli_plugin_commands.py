"""Subcommands of `formal-cluster` that plugins bring."""

from __future__ import annotations

import json

import click
import pytest

from formal_cluster.commands import config_option
from formal_cluster.plugins.commands import GROUP
from formal_cluster.settings_file.env import FILE_VARIABLE

GREET = """
    import click

    @click.command()
    @click.option("--name", default="you")
    def greet(name):
        '''Say hello.'''
        click.echo(f"hello {name}")
    """

SHOW = """
    import asyncio
    import click
    from formal_cluster.commands import CommandContext, config_option

    @click.command()
    @config_option
    def show(config):
        context = CommandContext.load(config)
        settings = context.driver_settings("discovery", "static")
        click.echo(f"{settings.self_id} {asyncio.run(context.identify()).address}")
    """


@pytest.fixture
def settings(tmp_path):
    """`settings("static")`: the path of a settings file that chooses this discovery driver."""

    def write(driver):
        path = tmp_path / f"{driver}.toml"
        path.write_text(
            f"[discovery]\ndrivers = ['{driver}']\n[discovery.static]\nself = 'me'\n"
            "instances = [{ id = 'me', address = '127.0.0.1' }]\n"
        )
        return str(path)

    return write


@pytest.fixture
def install(distributions):
    """`install("greet", source)`: a distribution `acme-greet` that brings the command `greet`."""

    def bring(name, source=GREET, *, distribution=None, attribute="greet", group=GROUP):
        distributions.install(
            distribution or f"acme-{name}", source, group=group, driver=name, attribute=attribute
        )

    return bring


def listed(shown):
    """The section about plugins' commands, as one line; click breaks lines after hyphens, too."""
    assert 0 == shown.returncode
    return " ".join(shown.stdout.partition("Commands of plugins:")[2].split()).replace("- ", "-")


def test_a_plugins_command_is_listed_with_its_help_and_runs(formal_cluster, install):
    install("greet")
    assert "greet Say hello." in listed(formal_cluster("--help"))
    shown = formal_cluster("greet", "--name", "Ada")
    assert (0, "hello Ada\n") == (shown.returncode, shown.stdout)


@pytest.mark.parametrize(
    ("source", "attribute", "reason"),
    [
        (
            "import no_such_module",
            "greet",
            "No module named 'no_such_module'; reinstall it with what it needs: ",
        ),
        (
            "1 / 0",
            "greet",
            "importing it raised ZeroDivisionError: division by zero; upgrade acme-greet or report",
        ),
        (
            GREET,
            "gret",
            "importing it raised AttributeError: module 'fake_",
        ),
        ("greet = print", "greet", ":greet is no click.Command; upgrade acme-greet or report"),
    ],
)
def test_a_broken_one_is_named_with_the_reason_and_harms_no_other(
    formal_cluster, install, source, attribute, reason
):
    install("greet", source, attribute=attribute)
    install("well")
    text = listed(formal_cluster("--help"))
    assert "command 'greet' of acme-greet 1.0 cannot be used: " in text
    assert reason in text
    assert 0 == formal_cluster("well").returncode
    for arguments in (("greet",), ("greet", "--help"), ("greet", "--name", "Ada", "more")):
        shown = formal_cluster(*arguments)
        assert (2, "") == (shown.returncode, shown.stdout)
        assert "error: command 'greet' of acme-greet 1.0 cannot be used: " in shown.stderr
        assert "Traceback" not in shown.stderr


def test_a_name_that_two_distributions_claim_is_neithers(formal_cluster, install):
    install("greet", distribution="acme-one")
    install("greet", distribution="acme-two")
    why = "several distributions bring a command 'greet': acme-one 1.0, acme-two 1.0; uninstall all"
    assert why in listed(formal_cluster("--help"))
    shown = formal_cluster("greet")
    assert 2 == shown.returncode
    assert why in shown.stderr


def test_cores_own_command_wins_and_the_hidden_one_is_named(formal_cluster, install):
    install("doctor")
    assert "'doctor' of acme-doctor 1.0 is hidden by formal-cluster's own" in listed(
        formal_cluster("--help")
    )
    assert [] != json.loads(formal_cluster("doctor", "--json").stdout)


def test_completion_offers_the_commands_of_plugins_also_beside_a_broken_one(
    formal_cluster, install
):
    install("greet")
    install("greedy", "1 / 0")
    shown = formal_cluster(
        _FORMAL_CLUSTER_COMPLETE="bash_complete", COMP_WORDS="formal-cluster gre", COMP_CWORD="1"
    )
    assert {"plain,greet", "plain,greedy"} == set(shown.stdout.split())


def test_a_command_reads_the_settings_of_its_driver_and_learns_which_instance_it_is(
    formal_cluster, install, settings
):
    install("show", SHOW, attribute="show")
    shown = formal_cluster("show", "--config", settings("static"))
    assert (0, "me 127.0.0.1\n") == (shown.returncode, shown.stdout)


def test_a_command_for_a_driver_that_is_not_chosen_says_so(formal_cluster, install, settings):
    install("show", SHOW, attribute="show")
    shown = formal_cluster("show", FORMAL_CLUSTER_CONFIG=settings("dns"))
    assert 2 == shown.returncode
    assert (
        "error: this command is for the discovery driver 'static', but the settings choose 'dns'; "
        "name the right settings file with --config\n" == shown.stderr
    )


def test_the_option_takes_the_variable_that_the_settings_document():
    (option,) = click.command()(config_option(lambda: None)).params
    assert FILE_VARIABLE == option.envvar


def test_the_inventory_of_drivers_does_not_list_commands(formal_cluster, install):
    install("greet")
    rows = json.loads(formal_cluster("plugins", "--json").stdout)
    assert [] == [row for row in rows if row["distribution"] == "acme-greet"]
