"""An instance without discovery settings, beside a store that needs none."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from contextlib import aclosing

import pytest

from formal_cluster import Cluster
from formal_cluster.discovery.alone import Alone
from formal_cluster.errors import ConfigError
from formal_cluster.hookspecs import DriverSettings
from formal_cluster.model import Instance, InstanceState, View
from formal_cluster.plugins import PluginManager
from formal_cluster.settings_file import settings_from

MEMORY = {"store": {"driver": "memory"}}


async def test_it_knows_itself_and_does_not_claim_to_be_alone():
    alone = Alone("a", hostname="host-1")
    me = Instance("a", "host-1", InstanceState.RUNNING)
    assert me == await alone.identify()
    assert View((me,), complete=False) == await alone.discover()
    async with aclosing(alone.watch()) as views:
        assert View((me,), complete=False) == await anext(views)
    await alone.aclose()


@pytest.mark.parametrize(
    ("settings", "id_"), [({}, socket.gethostname()), ({"instance": {"id": "a"}}, "a")]
)
async def test_an_instance_is_identified_by_its_id_or_else_its_host_name(settings, id_):
    async with Cluster.from_settings({**MEMORY, **settings}) as cluster:
        assert id_ == cluster.status().instance.id


@pytest.mark.parametrize(
    "discovery",
    [{"drivers": ["static"]}, {"static": {"instances": [{"id": "a", "address": "127.0.0.1"}]}}],
)
def test_discovery_that_is_configured_is_used_all_the_same(discovery):
    manager = PluginManager.from_settings(settings_from({**MEMORY, "discovery": discovery}))
    assert ("static",) == manager.discovery_drivers() == manager.chosen()["discovery"]


def test_a_store_needs_discovery_unless_it_says_otherwise():
    assert DriverSettings().needs_discovery
    manager = PluginManager.from_settings(settings_from({"store": {"driver": "etcd"}}))
    assert ("static",) == manager.discovery_drivers()


def test_a_mistake_in_the_stores_settings_is_told_before_discovery_is_missed():
    settings = settings_from({"store": {"driver": "memory", "memory": {"history": 0}}})
    manager = PluginManager.from_settings(settings)
    with pytest.raises(ConfigError, match=r"store\.memory\.history"):
        manager.discovery_drivers()
    assert ("static",) == manager.chosen()["discovery"]


def test_the_commands_do_not_ask_for_discovery_either(tmp_path):
    config = tmp_path / "config.toml"
    config.write_text('[instance]\nid = "a"\n[store]\ndriver = "memory"\n')

    def run(*command):
        shown = subprocess.run(
            [sys.executable, "-m", "formal_cluster", *command, "--json", "--config", config],
            capture_output=True,
            check=False,
        )
        assert 0 == shown.returncode, shown
        return json.loads(shown.stdout)

    assert not [finding for finding in run("doctor") if "discovery" in finding["what"]]
    view = run("discover")
    assert ("a", False, ["a"]) == (
        view["self"],
        view["complete"],
        [instance["id"] for instance in view["instances"]],
    )
