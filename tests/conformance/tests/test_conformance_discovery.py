"""The discovery drivers of this repository keep the contract, each as far as its platform goes."""

from formal_cluster_conformance.pytest_plugin import conformance_of

test_static = conformance_of("static", "discovery")
test_dns = conformance_of("dns", "discovery")
test_ecs = conformance_of("ecs", "discovery")
test_k8s = conformance_of("k8s", "discovery")
