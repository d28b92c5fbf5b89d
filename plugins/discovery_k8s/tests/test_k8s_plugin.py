"""What the package promises before its driver exists."""

import logging
import subprocess
import sys

import pytest

from formal_cluster.errors import ConfigError, PluginError
from formal_cluster.hookspecs import DiscoveryContext
from formal_cluster.plugins import PluginManager
from formal_cluster.settings_file import settings_from

CONTEXT = DiscoveryContext(None, logging.getLogger("test"))


def plugins(**k8s):
    return PluginManager.from_settings(
        settings_from({"discovery": {"drivers": ["k8s"], "k8s": k8s}})
    )


def test_choosing_the_driver_says_that_it_is_not_available_and_what_to_use():
    with pytest.raises(PluginError, match=r"'k8s' is not available yet .* use 'dns'"):
        plugins().create_discovery("k8s", CONTEXT)


def test_its_settings_are_checked_already():
    assert "proxies" == plugins(namespace="proxies").driver_settings("discovery", "k8s").namespace
    with pytest.raises(ConfigError, match=r"discovery\.k8s\.selector: unknown key"):
        plugins(selector="app=x").driver_settings("discovery", "k8s")


def test_loading_it_does_not_import_the_sdk():
    code = "import sys, formal_cluster_discovery_k8s.plugin; assert 'kubernetes' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
