"""What the package promises before its driver exists."""

import subprocess
import sys

import pytest

from formal_cluster.errors import ConfigError, PluginError
from formal_cluster.plugins import PluginManager
from formal_cluster.settings_file import settings_from


def plugins(**table):
    return PluginManager.from_settings(
        settings_from({"store": {"driver": "redis-test", "redis-test": table}})
    )


def test_choosing_the_driver_says_that_it_is_not_available_and_what_to_use():
    with pytest.raises(PluginError, match=r"'redis-test' is not available yet .* use 'etcd'"):
        plugins().create_store(None)


def test_its_settings_are_checked_already():
    with pytest.raises(ConfigError, match=r"store\.redis-test\.url: should match pattern"):
        plugins(url="localhost").driver_settings("store", "redis-test")


def test_its_password_is_never_shown():
    driver = plugins(password="hunter2").driver_settings("store", "redis-test")
    assert "hunter2" not in f"{driver!r} {driver.model_dump_json()}"


def test_loading_it_does_not_import_the_client():
    code = "import sys, formal_cluster_store_redis_test.plugin; assert 'redis' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
