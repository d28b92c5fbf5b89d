"""What the API server's refusals mean, in words."""

from __future__ import annotations

import json

import pytest
import yaml

from formal_cluster.errors import DiscoveryError, DiscoveryUnavailable
from formal_cluster_discovery_k8s.permissions import NODES, PODS, PODS_OF_SERVICE, SLICES, manifest
from formal_cluster_discovery_k8s.refusals import (
    Absent,
    Expired,
    Forbidden,
    NotAuthenticated,
    Refused,
    refusal,
)


def refused(code, message="because", permission=PODS, verb="list", retry_after=None):
    return refusal(
        code,
        json.dumps({"kind": "Status", "message": message}),
        verb=verb,
        permission=permission,
        namespace=None if permission.cluster_wide else "proxies",
        retry_after=retry_after,
    )


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (NotAuthenticated, 401),
        (Forbidden, 403),
        (Absent, 404),
        (Expired, 410),
        (Refused, 429),
        (Refused, 500),
        (Refused, 503),
        (Refused, 504),
        (DiscoveryError, 400),
        (DiscoveryError, 422),
    ],
)
def test_each_status_has_its_error(kind, code):
    assert kind is type(refused(code))


@pytest.mark.parametrize("code", [401, 403, 404, 410, 429, 500, 503])
def test_what_may_pass_is_unknown_and_not_fatal(code):
    assert isinstance(refused(code), DiscoveryUnavailable)


def test_a_missing_permission_is_answered_with_the_role_that_grants_it():
    text = str(refused(403, "User x cannot list resource pods"))
    assert "does not let this instance list pods in namespace proxies (User x cannot" in text
    role = yaml.safe_load(text.partition("service account:\n")[2])
    assert ("Role", "proxies") == (role["kind"], role["metadata"]["namespace"])
    assert [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}] == role[
        "rules"
    ]


def test_a_missing_optional_permission_says_what_it_costs():
    text = str(refused(403, permission=NODES, verb="get"))
    assert "Without it: a pod that vanishes without a final phase is never known to be" in text
    assert "ClusterRole" == yaml.safe_load(text.partition("service account:\n")[2])["kind"]


@pytest.mark.parametrize("permission", [PODS, SLICES, PODS_OF_SERVICE, NODES])
def test_a_role_grants_what_its_permission_says_and_nothing_else(permission):
    role = yaml.safe_load(manifest(permission, "proxies"))
    [rule] = role["rules"]
    assert [permission.group] == rule["apiGroups"]
    assert [permission.resource] == rule["resources"]
    assert list(permission.verbs) == rule["verbs"]
    assert permission.cluster_wide is ("namespace" not in role["metadata"])


@pytest.mark.parametrize(
    ("seconds", "header"),
    [(7.0, "7"), (60.0, "86400"), (0.0, None), (0.0, "Wed, 21 Oct 2026 07:28:00 GMT")],
)
def test_the_server_may_ask_to_be_left_alone_for_a_minute_at_most(seconds, header):
    assert seconds == refused(429, retry_after=header).retry_after_s


@pytest.mark.parametrize("body", ["", "<html>bad gateway</html>", "[]", "null"])
def test_an_answer_that_is_no_status_object_is_reported_as_it_is(body):
    error = refusal(502, body, verb="list", permission=PODS, namespace="proxies")
    assert "at the moment: 502" in str(error)
