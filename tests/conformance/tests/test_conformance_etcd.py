"""The etcd driver keeps the store contract. `make conformance` tries all profiles, in full."""

import pytest

from formal_cluster_conformance.pytest_plugin import conformance_of
from formal_cluster_store_etcd import external

pytestmark = pytest.mark.etcd


@pytest.fixture(scope="module", autouse=True)
def _patience():
    """The store has the time that a slow machine's disk takes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(external, "ATTEMPT_S", 20.0)
        yield


test_external = conformance_of("etcd-external-1", "state")
