"""`formal-cluster config`: the schema and the effective settings."""

import json

from click.testing import CliRunner

from formal_cluster.cli import main
from formal_cluster.settings import Settings
from formal_cluster.settings_file.keys import all_keys

SECRETIVE = """
from pydantic import SecretStr
from formal_cluster.hookspecs import DriverSettings, hookimpl

class Settings(DriverSettings):
    url: str = "acme://"
    password: SecretStr | None = None

@hookimpl
def discovery_settings():
    return Settings

@hookimpl
def create_discovery(settings, context): ...
"""


def run(*arguments, code=0, **environment):
    result = CliRunner().invoke(main, ["config", *arguments], env=environment)
    assert code == result.exit_code, result.stderr
    return result


def schema(**environment):
    return json.loads(run("schema", **environment).stdout)


def resolved(document, *path):
    node = document
    for key in path:
        node = node["properties"][key]
        while "$ref" in node:
            node = document["$defs"][node["$ref"].rpartition("/")[2]]
        node = node.get("items", node)
        if "$ref" in node:
            node = document["$defs"][node["$ref"].rpartition("/")[2]]
    return node


def test_the_schema_has_every_key_of_core(distributions):
    document = schema()
    for path in all_keys(Settings):
        assert resolved(document, *path)


def test_the_schema_has_the_tables_of_installed_drivers_and_refuses_all_others(distributions):
    distributions.install("acme-discovery")
    document = schema()
    assert {"acme", "static", "dns", "ecs", "k8s", "drivers"} == set(
        resolved(document, "discovery")["properties"]
    )
    assert {"zone"} == set(resolved(document, "discovery", "acme")["properties"])
    for table in ((), ("discovery",), ("discovery", "acme"), ("counter",), ("server",)):
        assert resolved(document, *table)["additionalProperties"] is False


def test_every_reference_in_the_schema_leads_somewhere(distributions):
    document = schema()
    references = json.dumps(document).split('"$ref": "#/$defs/')[1:]
    assert {reference.partition('"')[0] for reference in references} == set(document["$defs"])


def test_denied_and_broken_drivers_are_left_out_of_the_schema(distributions):
    distributions.install("acme-denied", "1 / 0", driver="denied")
    distributions.install("acme-broken", "1 / 0", driver="broken")
    result = run("schema", FORMAL_CLUSTER_PLUGINS__DENY='["denied"]')
    tables = resolved(json.loads(result.stdout), "discovery")["properties"]
    assert set() == {"denied", "broken"} & set(tables)
    assert "warning: discovery.broken is left out: importing it raised" in result.stderr
    assert "denied" not in result.stderr


def show(path, **environment):
    return run("show", "--json", "--config", str(path), **environment)


def test_show_says_where_each_setting_comes_from(distributions, tmp_path):
    distributions.install("acme-discovery")
    path = tmp_path / "c.toml"
    path.write_text(
        '[discovery]\ndrivers = ["acme"]\n[[counter]]\nname = "reads"\n[server]\nhost = "::1"\n'
    )
    environment = {
        "FORMAL_CLUSTER_SERVER__PORT": "1234",
        "FORMAL_CLUSTER_DISCOVERY__ACME__ZONE": "a",
    }
    shown = json.loads(show(path, **environment).stdout)
    assert {
        "discovery.drivers": {"value": ["acme"], "source": f"{path}:2"},
        "discovery.acme.zone": {"value": "a", "source": "FORMAL_CLUSTER_DISCOVERY__ACME__ZONE"},
        "counter[0].name": {"value": "reads", "source": f"{path}:4"},
        "counter[0].entity": {"value": "*", "source": "default"},
        "server.host": {"value": "::1", "source": f"{path}:6"},
        "server.port": {"value": 1234, "source": "FORMAL_CLUSTER_SERVER__PORT"},
        "server.max_depth": {"value": 64, "source": "default"},
    }.items() <= shown.items()
    assert not [key for key in shown if "options" in key]


def test_show_never_prints_a_secret(distributions, tmp_path):
    distributions.install("acme-discovery", SECRETIVE)
    path = tmp_path / "c.toml"
    path.write_text('[discovery]\ndrivers = ["acme"]\n[discovery.acme]\npassword = "hunter2"\n')
    assert "hunter2" not in show(path).output
    assert "hunter2" not in run("show", "--config", str(path)).output


def test_a_secret_of_the_wrong_type_is_not_printed_either(distributions, tmp_path):
    distributions.install("acme-discovery", SECRETIVE)
    path = tmp_path / "c.toml"
    path.write_text('[discovery]\ndrivers = ["acme"]\n[discovery.acme]\npassword = 271828\n')
    result = show(path)
    assert "discovery.acme.password: should be a valid string" in result.stderr
    assert "271828" not in result.output


def test_show_reports_a_driver_that_is_missing_and_shows_the_rest(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text('[discovery]\ndrivers = ["acme"]\n')
    result = show(path)
    assert "warning: discovery.acme is left out: no plugin provides" in result.stderr
    assert ["acme"] == json.loads(result.stdout)["discovery.drivers"]["value"]


def test_wrong_settings_are_reported_without_a_traceback(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text("[sever]\n[log]\nlevel = 1\n")
    result = run("show", "--config", str(path), code=2)
    assert ["error: ", "error: "] == [line[:7] for line in result.stderr.splitlines()]
    assert "Traceback" not in result.output
