"""How core finds the driver and checks its settings."""

from __future__ import annotations

import logging

import pytest

from formal_cluster.errors import ConfigError
from formal_cluster.hookspecs import DiscoveryContext
from formal_cluster.plugins import PluginManager
from formal_cluster.protocols import Discovery
from formal_cluster.settings_file import settings_from

CONTEXT = DiscoveryContext(None, logging.getLogger("test"))


def plugins(**k8s):
    return PluginManager.from_settings(
        settings_from({"discovery": {"drivers": ["k8s"], "k8s": k8s}})
    )


async def test_core_finds_and_builds_the_driver():
    driver = plugins().create_discovery("k8s", CONTEXT)
    assert isinstance(driver, Discovery)
    await driver.aclose()


def test_its_settings_are_checked():
    assert "proxies" == plugins(namespace="proxies").driver_settings("discovery", "k8s").namespace
    with pytest.raises(ConfigError, match=r"discovery\.k8s\.selector: unknown key"):
        plugins(selector="app=x").driver_settings("discovery", "k8s")


def test_two_ways_to_list_the_instances_contradict_each_other():
    with pytest.raises(ConfigError, match=r"set label_selector or service, not both"):
        plugins(label_selector="app=x", service="peers").driver_settings("discovery", "k8s")
