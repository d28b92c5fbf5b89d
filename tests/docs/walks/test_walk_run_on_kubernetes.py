"""docs/run-on-kubernetes.md as far as no cluster is needed: what is typed on a reader's machine.

The manifests are judged by `test_docs_blocks.py` and by `plugins/discovery_k8s/tests`, whose driver
works with the page's roles and no others.
"""

from __future__ import annotations

import asyncio

import pytest

from formal_cluster_conformance.k8s import ApiServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
LABELS = {"app.kubernetes.io/name": "connector"}


async def test_discover_shows_the_deployments_pods_from_outside(walk, machines, tmp_path):
    here = machines.make("here")
    async with ApiServer(tmp_path) as server, server.world("connector") as world:
        kubeconfig = tmp_path / ".kube" / "config"
        kubeconfig.parent.mkdir()
        server.write_kubeconfig(kubeconfig)
        node = await world.node("n")
        for name, address, labels in (
            ("connector-a", "10.0.0.1", LABELS),
            ("connector-b", "10.0.0.2", LABELS),
            ("another", "10.0.0.9", {"app.kubernetes.io/name": "another"}),
        ):
            await world.running_pod(name, address, labels=labels, node=node["metadata"]["name"])
        with walk("docs/run-on-kubernetes.md") as page:
            discover = page.take("FORMAL_CLUSTER_DISCOVERY")
            shown = await asyncio.to_thread(here.run, discover, status=1)
    assert "10.0.0.1" in shown
    assert "10.0.0.2" in shown
    assert "10.0.0.9" not in shown
