"""The package as core sees it: found, checked, built without its client library."""

import subprocess
import sys

import pytest

from formal_cluster.errors import ConfigError
from formal_cluster.model import Capability, StoreState
from formal_cluster.plugins import PluginManager
from formal_cluster.settings_file import settings_from
from formal_cluster_store_redis_test.settings import RedisTestSettings, Server


def plugins(**table):
    return PluginManager.from_settings(
        settings_from({"store": {"driver": "redis-test", "redis-test": table}})
    )


def test_the_url_says_where_and_as_whom():
    url = "rediss://us%40er@redis.example:7000/3"
    expected = Server("redis.example", 7000, 3, "us@er", tls=True)
    assert expected == RedisTestSettings(url=url).server


def test_the_url_may_leave_out_what_is_usual():
    expected = Server("127.0.0.1", 6379, 0, None, tls=False)
    assert expected == RedisTestSettings(url="redis://127.0.0.1").server


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ({"url": "localhost"}, r"store\.redis-test\.url: should match pattern"),
        ({"url": "redis://:secret@h"}, "set password instead"),
        ({"url": "redis:///0"}, "not like redis://host:6379/0"),
        ({"url": "redis://h/name"}, "the database is a number"),
        ({"url": "redis://h:99999/0"}, "url: "),
        ({"url": "redis://h?x=1"}, "not like redis://host:6379/0"),
        ({"tls": {}}, "does not begin with rediss"),
        ({"url": "rediss://h", "tls": {"key": "k.pem"}}, "set both"),
        ({"key_prefix": ""}, "key_prefix"),
    ],
)
def test_settings_that_cannot_work_are_refused(table, complaint):
    with pytest.raises(ConfigError, match=complaint):
        plugins(**table).driver_settings("store", "redis-test")


def test_its_password_is_never_shown():
    driver = plugins(password="hunter2").driver_settings("store", "redis-test")
    assert "hunter2" not in f"{driver!r} {driver.model_dump_json()}"


def test_loading_it_does_not_import_the_client():
    code = "import sys, formal_cluster_store_redis_test.plugin; assert 'redis' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


async def test_before_it_knows_the_server_it_claims_what_every_single_server_can(build_store):
    never = {Capability.SURVIVES_RESTART, Capability.SURVIVES_MINORITY_LOSS}
    store = build_store(RedisTestSettings(url="redis://127.0.0.1"))

    assert set(Capability) - never == store.capabilities
    assert StoreState.STARTING is store.status().state


async def test_a_certificate_that_cannot_be_read_is_fatal_at_start(build_store, tmp_path):
    store = build_store(
        RedisTestSettings(url="rediss://127.0.0.1"), tls={"ca": str(tmp_path / "missing.pem")}
    )
    with pytest.raises(ConfigError, match=r"missing\.pem"):
        await store.start()
