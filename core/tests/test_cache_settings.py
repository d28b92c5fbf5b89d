"""`[cache.<namespace>]`: what is refused, and what an embedding process gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from formal_cluster import Cluster
from formal_cluster.cache import TEXT
from formal_cluster.errors import ConfigError
from formal_cluster.settings import OnStoreAway
from formal_cluster.settings_file import load_settings, settings_from


@pytest.mark.parametrize(
    ("cache", "complaint"),
    [
        ({"jobs": {"max_entrys": 5}}, r"max_entrys: .*did you mean cache\.jobs\.max_entries"),
        ({"jobs": {"max_entries": 0}}, r"cache\.jobs\.max_entries"),
        ({"jobs": {"on_degraded": "allow"}}, r"cache\.jobs\.on_degraded"),
        ({"max_entries": 5}, r"cache\.max_entries.*table"),
        ({"Big-Query": {}}, r"'Big-Query' is no namespace"),
        ({"jobs": {"max_bytes": 2_000}}, r"cache\.jobs\.max_bytes.*smaller than max_value_bytes"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(cache: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        settings_from({"cache": cache})


def test_a_namespace_comes_from_the_file_and_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "connector.toml"
    file.write_text('[cache.jobs]\nttl_seconds = 60\non_degraded = "miss"\n')
    environ = {"FORMAL_CLUSTER_CACHE__JOBS__MAX_ENTRIES": "7"}
    jobs = load_settings(file, environ).cache["jobs"]
    assert (60, OnStoreAway.MISS, 7) == (jobs.ttl_seconds, jobs.on_degraded, jobs.max_entries)
    with pytest.raises(ConfigError, match=r"MAX_ENTRYS.*did you mean"):
        load_settings(file, {"FORMAL_CLUSTER_CACHE__JOBS__MAX_ENTRYS": "7"})


async def test_a_cluster_has_the_caches_that_are_declared() -> None:
    store = {"driver": "memory"}
    async with Cluster.from_settings({"store": store, "cache": {"jobs": {}}}) as cluster:
        await cluster.cache("jobs", TEXT).put("key", "grüß")
        assert "grüß".encode() == cluster.cache("jobs").peek("key")
        with pytest.raises(ConfigError, match=r"declare it as \[cache.other\]"):
            cluster.cache("other")
    async with Cluster.from_settings({"store": store}) as cluster:
        assert cluster.status().cache is None
