"""The etcd driver keeps the store contract. `make conformance` tries all profiles, in full."""

import pytest

from formal_cluster_conformance.pytest_plugin import conformance_of

pytestmark = pytest.mark.etcd

test_external = conformance_of("etcd-external-1", "state")
