"""Names, URLs and the command line of a member."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formal_cluster_store_etcd.member.binary import Binary, Version
from formal_cluster_store_etcd.member.etcd_command import Member, command_line, environment
from formal_cluster_store_etcd.names import is_member_of, is_ours, member_name
from formal_cluster_store_etcd.settings import EtcdSettings
from formal_cluster_store_etcd.urls import Endpoint, endpoint_of, member_url

ARN = "arn:aws:ecs:eu-west-1:123456789012:task/cluster/0123456789abcdef"
MEMBER = Member("a-00000001", "10.0.0.1", "10.0.0.1", 2379, 2380, "http")


@given(st.text(min_size=1), st.text(min_size=1))
def test_a_member_is_of_its_own_instance_only(one, other):
    name = member_name(one, "0123abcd")
    assert is_ours(name)
    assert is_member_of(name, one)
    assert (one == other) == is_member_of(name, other)
    assert set(",=%+;& ").isdisjoint(name)


def test_a_task_arn_stays_readable():
    assert f"{ARN}-0123abcd" == member_name(ARN, "0123abcd")


@pytest.mark.parametrize("name", ["default", "infra-1", "", "-0123abcd", "a-0123ABCD"])
def test_other_peoples_names_are_not_ours(name):
    assert not is_ours(name)


@pytest.mark.parametrize("host", ["10.0.0.1", "host.example", "2001:db8::1"])
def test_urls_lead_back_to_host_and_port(host):
    assert Endpoint(host, 2380) == endpoint_of(member_url("https", host, 2380))


def flags(initial_cluster, known=frozenset(), member=MEMBER, **settings) -> dict[str, str]:
    binary = Binary(Path("/usr/bin/etcd"), Version(3, 5, 24), frozenset(known), None)
    program, *arguments = command_line(binary, EtcdSettings(**settings), member, initial_cluster)
    assert "/usr/bin/etcd" == program
    return dict(argument.removeprefix("--").split("=", 1) for argument in arguments)


def test_a_founder_starts_alone_with_a_token_of_its_own():
    first, second = flags(None), flags(None)
    assert "new" == first["initial-cluster-state"]
    assert "a-00000001=http://10.0.0.1:2380" == first["initial-cluster"]
    assert first["initial-cluster-token"] != second["initial-cluster-token"]


def test_a_joiner_names_all_members():
    found = flags({"b-00000002": "http://10.0.0.2:2380", "a-00000001": "http://10.0.0.1:2380"})
    assert "existing" == found["initial-cluster-state"]
    assert (
        "b-00000002=http://10.0.0.2:2380,a-00000001=http://10.0.0.1:2380"
        == found["initial-cluster"]
    )


def test_it_listens_on_its_own_address_only():
    found = flags(None)
    assert "http://10.0.0.1:2379" == found["listen-client-urls"]
    assert "http://10.0.0.1:2380" == found["listen-peer-urls"]


def test_tls_is_for_both_ports_and_both_sides():
    tls = {"ca": "/ca.crt", "certificate": "/tls.crt", "key": "/tls.key"}
    assert not [flag for flag in flags(None) if "cert" in flag or "tls" in flag]
    found = flags(None, member=replace(MEMBER, scheme="https"), tls=tls)
    for port in ("", "peer-"):
        assert "/tls.crt" == found[f"{port}cert-file"]
        assert "/tls.key" == found[f"{port}key-file"]
        assert "/ca.crt" == found[f"{port}trusted-ca-file"]
        assert "true" == found[f"{port}client-cert-auth"]
    urls = ("listen-client-urls", "listen-peer-urls", "advertise-client-urls")
    assert all(found[flag].startswith("https://") for flag in urls)
    assert "a-00000001=https://10.0.0.1:2380" == found["initial-cluster"]
    assert "tls-min-version" not in found
    assert "TLS1.2" == flags(None, {"tls-min-version"}, tls=tls)["tls-min-version"]


def test_safety_flags_are_set_as_the_program_spells_them():
    check = "experimental-initial-corrupt-check"
    assert "true" == flags(None)["strict-reconfig-check"]
    assert "true" == flags(None, {check})[check]
    assert "InitialCorruptCheck=true" == flags(None, {"feature-gates"})["feature-gates"]
    assert "feature-gates" not in flags(None, {check, "feature-gates"})
    assert "enable-v2" not in flags(None)
    assert "false" == flags(None, {"enable-v2"})["enable-v2"]


def test_settings_reach_the_command_line():
    found = flags(None, auto_compaction_minutes=7, quota_backend_bytes=1 << 30, heartbeat_ms=150)
    assert "7m" == found["auto-compaction-retention"]
    assert str(1 << 30) == found["quota-backend-bytes"]
    assert "150" == found["heartbeat-interval"]


def test_etcd_is_not_configured_by_variables_that_lie_about():
    kept = {"PATH": "/bin", "ETCD_UNSUPPORTED_ARCH": "arm64"}
    assert kept == environment({**kept, "ETCD_FORCE_NEW_CLUSTER": "true", "ETCD_NAME": "x"})


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"voters": 4}, "3, 5 or 7"),
        ({"election_ms": 400, "heartbeat_ms": 100}, "five times"),
        ({"client_port": 2380}, "differ"),
        ({"data_dri": "/x"}, "data_dri"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        EtcdSettings(**settings)
