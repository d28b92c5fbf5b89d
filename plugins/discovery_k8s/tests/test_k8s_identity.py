"""Which pod a process is in, told by its surroundings."""

from __future__ import annotations

from pathlib import Path

import pytest

from formal_cluster.errors import DiscoveryError
from formal_cluster_discovery_k8s.identity import Surroundings, look_around, settle_namespace

DOWNWARD = {
    "POD_NAME": "connector-0",
    "POD_NAMESPACE": "proxies",
    "POD_UID": "uid-1",
    "POD_IP": "10.0.0.1",
}


def test_the_downward_api_tells_everything(tmp_path: Path):
    expected = Surroundings("connector-0", "proxies", "uid-1", ("10.0.0.1",))
    assert expected == look_around(DOWNWARD, tmp_path, "some-node", outside=False)


def test_all_addresses_of_a_dual_stack_pod_are_known(tmp_path: Path):
    environment = {**DOWNWARD, "POD_IPS": "10.0.0.1,fd00::1"}
    around = look_around(environment, tmp_path, "some-node", outside=False)
    assert ("10.0.0.1", "fd00::1") == around.addresses


@pytest.mark.parametrize("given", ["$(POD_IP)", "10.0.0.1,connector-0"])
def test_an_address_that_is_none_is_refused_with_the_mend(tmp_path: Path, given: str):
    with pytest.raises(
        DiscoveryError, match=r"POD_IP or POD_IPS is .*Set POD_IP from status\.podIP"
    ):
        look_around({**DOWNWARD, "POD_IPS": given}, tmp_path, "some-node", outside=False)


def test_without_it_the_host_name_and_the_mounted_namespace_tell(tmp_path: Path):
    (tmp_path / "namespace").write_text("proxies\n")
    expected = Surroundings("connector-0", "proxies", None, ())
    assert expected == look_around({}, tmp_path, "connector-0", outside=False)


def test_with_a_kubeconfig_the_host_name_is_not_taken_for_a_pods(tmp_path: Path):
    assert Surroundings() == look_around({}, tmp_path, "laptop", outside=True)


def test_with_a_kubeconfig_in_a_pod_the_downward_api_still_tells(tmp_path: Path):
    assert "connector-0" == look_around(DOWNWARD, tmp_path, "x", outside=True).name


@pytest.mark.parametrize(
    ("namespace", "given"),
    [
        ("a", ("a", "a", "c")),
        ("a", ("a", None, "c")),
        ("b", (None, "b", "c")),
        ("c", (None, None, "c")),
    ],
)
def test_the_namespace_is_the_configured_one_else_the_own_one_else_the_contexts(namespace, given):
    assert namespace == settle_namespace(*given)


def test_a_namespace_that_is_not_the_pods_own_is_refused():
    with pytest.raises(DiscoveryError, match=r"namespace is a but this pod runs in b.*remove the"):
        settle_namespace("a", "b", None)


def test_where_no_namespace_is_known_the_mend_is_named():
    with pytest.raises(DiscoveryError, match=r"set discovery\.k8s\.namespace"):
        settle_namespace(None, None, None)
