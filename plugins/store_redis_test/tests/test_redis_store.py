"""The Redis store does what every store does, and what only it and few others do."""

import dataclasses
import functools

import pytest

from formal_cluster_conformance.pytest_plugin import conformance_of
from formal_cluster_store_redis_test import conformance
from formal_cluster_store_redis_test.settings import RedisTestSettings

pytestmark = pytest.mark.redis

SLOW_MACHINE = dataclasses.replace(conformance.KEEPS, ttl_slack_s=30.0, recovery_s=60.0)


@pytest.fixture(scope="module", autouse=True)
def _patience():
    """Answers may take as long as they do on a machine with other work."""
    with pytest.MonkeyPatch.context() as patch:
        patient = functools.partial(RedisTestSettings, timeout_s=20.0)
        patch.setattr(conformance, "RedisTestSettings", patient)
        yield


test_contract = conformance_of(SLOW_MACHINE, "state")


@pytest.mark.parametrize("ttl", [0, -1.0])
async def test_a_ttl_that_is_over_before_it_begins_is_refused(redis_shared, open_store, ttl):
    store = await open_store(redis_shared)

    with pytest.raises(ValueError, match="ttl must be more than 0"):
        await store.put(b"k", b"v", ttl=ttl)
