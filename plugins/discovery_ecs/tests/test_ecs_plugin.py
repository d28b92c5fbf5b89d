"""The package as formal-cluster finds it."""

import logging
import os
import subprocess
import sys

import pytest

from formal_cluster.errors import ConfigError, DiscoveryError
from formal_cluster.hookspecs import DiscoveryContext
from formal_cluster.plugins import PluginManager
from formal_cluster.protocols import Discovery
from formal_cluster.settings_file import settings_from

CONTEXT = DiscoveryContext(None, logging.getLogger("test"))


def plugins(**ecs):
    return PluginManager.from_settings(
        settings_from({"discovery": {"drivers": ["ecs"], "ecs": ecs}})
    )


async def test_the_driver_needs_no_settings(world, ecs, metadata, me, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_ECS", ecs.url)
    monkeypatch.setenv("ECS_CONTAINER_METADATA_URI_V4", metadata.uri(me))

    driver = plugins().create_discovery("ecs", CONTEXT)

    assert isinstance(driver, Discovery)
    assert [me.arn] == [instance.id for instance in (await driver.discover()).instances]
    await driver.aclose()


async def test_outside_ecs_the_driver_says_so(monkeypatch):
    monkeypatch.delenv("ECS_CONTAINER_METADATA_URI_V4", raising=False)

    with pytest.raises(DiscoveryError, match="does not run in an ECS task"):
        await plugins().create_discovery("ecs", CONTEXT).identify()


def test_its_settings_are_checked():
    assert "eu-west-1" == plugins(region="eu-west-1").driver_settings("discovery", "ecs").region
    with pytest.raises(ConfigError, match=r"discovery\.ecs\.regoin: .* discovery\.ecs\.region\?"):
        plugins(regoin="eu-west-1").driver_settings("discovery", "ecs")
    with pytest.raises(ConfigError, match=r"discovery\.ecs\.endpoint_url"):
        plugins(endpoint_url="ecs.example").driver_settings("discovery", "ecs")


def test_the_sdk_is_not_imported_before_ecs_is_asked():
    code = """
import asyncio, logging, sys
from formal_cluster.errors import DiscoveryError
from formal_cluster.hookspecs import DiscoveryContext
from formal_cluster_discovery_ecs import plugin
settings = plugin.discovery_settings()()
driver = plugin.create_discovery(settings, DiscoveryContext(None, logging.getLogger()))
try:
    asyncio.run(driver.identify())
except DiscoveryError:
    pass
assert not {"boto3", "botocore"} & sys.modules.keys()
"""
    environment = {
        key: value for key, value in os.environ.items() if key != "ECS_CONTAINER_METADATA_URI_V4"
    }
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
