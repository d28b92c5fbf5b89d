"""The built-in enricher `cluster`."""

import logging

import pytest

from formal_cluster.hookspecs import ClusterInfo, EnrichmentContext
from formal_cluster.model import ClusterState, Instance, Stage
from formal_cluster.policy import cluster_fields, load_policies
from formal_cluster.settings import DEFAULT_COUNTER


def enrich(info, document=None):
    context = EnrichmentContext(Instance("i", "127.0.0.1"), lambda: info, logging.getLogger())
    settings = cluster_fields.enrichment_settings()()
    enricher = cluster_fields.create_enricher(settings=settings, context=context)
    return enricher.enrich(Stage.PRE_REQUEST, document or {})


def test_the_clusters_condition_is_added():
    info = ClusterInfo(ClusterState.CLUSTERED, stale_ms=12, peers=2, reachable=True)

    assert {
        "cluster": {"state": "clustered", "stale_ms": 12, "peers": 2, "degraded": False}
    } == enrich(info)


@pytest.mark.parametrize("limit", [0, 5_000, 86_400_000])
def test_never_having_heard_anything_is_staler_than_any_limit(tmp_path, limit):
    info = ClusterInfo(ClusterState.STANDALONE, stale_ms=None, peers=0, reachable=False)
    (tmp_path / "p.rego").write_text(
        "package formal.v2\n"
        f'pre_request := {{"action": "block"}} if input.cluster.stale_ms > {limit}\n'
        'session := {"action": "block"} if input.cluster.degraded\n'
    )
    policies = load_policies([tmp_path], [DEFAULT_COUNTER])

    for stage in (Stage.PRE_REQUEST, Stage.SESSION):
        assert {"action": "block"} == policies.evaluate(stage, enrich(info))[0].result
