"""Our API server, as the official client and the bare protocol find it.

A fake that is laxer than the real thing would make every test above it worthless.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from contextlib import asynccontextmanager

import aiohttp
import pytest

from formal_cluster_conformance.k8s import ApiServer, documents
from formal_cluster_conformance.k8s.resources import NODES, PODS
from formal_cluster_conformance.k8s.selectors import field_predicate, label_predicate
from formal_cluster_conformance.k8s.statuses import Refusal
from formal_cluster_conformance.k8s.world import ApiError


@pytest.fixture
async def world(server):
    async with server.world("proxies") as world:
        yield world


@pytest.fixture
async def ask(server, world):
    """Sends one request, by default as somebody who may do everything."""
    context = ssl.create_default_context(cafile=server.ca_file) if server.ca_file else True
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:

        async def send(path, token=None, method="GET", headers=None, body=None, **query):
            authorization = {"Authorization": f"Bearer {token or server.admin_token}"}
            async with session.request(
                method,
                server.url + path,
                headers={**authorization, **(headers or {})},
                params=query,
                json=body,
            ) as response:
                return response.status, await response.json()

        @asynccontextmanager
        async def watch(path, **query):
            async with session.get(
                server.url + path,
                headers={"Authorization": f"Bearer {server.admin_token}"},
                params={"watch": "true", **query},
            ) as response:
                yield response

        send.watch = watch
        yield send


PATH = "/api/v1/namespaces/proxies/pods"


async def next_event(response):
    async with asyncio.timeout(50):
        event = json.loads(await response.content.readline())
    return event["type"], event["object"]


# ── reading ──────────────────────────────────────────────────────────────────────────────────────


async def test_the_official_client_lists_and_watches(server, world, tmp_path):
    from kubernetes.client import ApiClient, Configuration, CoreV1Api
    from kubernetes.config import load_kube_config
    from kubernetes.watch import Watch

    await world.running_pod("a", "10.0.0.1")

    def use():
        configuration = Configuration()
        kubeconfig = server.write_kubeconfig(tmp_path / "admin")
        load_kube_config(str(kubeconfig), client_configuration=configuration)
        with ApiClient(configuration) as client:
            api = CoreV1Api(client)
            listed = api.list_namespaced_pod("proxies")
            events = Watch().stream(
                api.list_namespaced_pod, "proxies", resource_version="0", timeout_seconds=1
            )
            watched = [(event["type"], event["object"].metadata.name) for event in events]
            return [pod.status.pod_ip for pod in listed.items], watched

    assert (["10.0.0.1"], [("ADDED", "a")]) == await asyncio.to_thread(use)


async def test_a_list_shows_one_moment_in_pages(world, ask):
    for name in ("a", "b", "c"):
        await world.pod(name)
    _, first = await ask(PATH, limit="2")
    await world.pod("d")
    _, second = await ask(PATH, limit="2", **{"continue": first["metadata"]["continue"]})
    names = [pod["metadata"]["name"] for page in (first, second) for pod in page["items"]]
    assert ["a", "b", "c"] == names
    assert first["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"]
    assert 1 == first["metadata"]["remainingItemCount"]
    assert "continue" not in second["metadata"]


async def test_a_page_of_a_forgotten_moment_is_gone(server, world, ask):
    for name in ("a", "b"):
        await world.pod(name)
    _, first = await ask(PATH, limit="1")
    await world.pod("c")
    server.store.compact()
    status, answer = await ask(PATH, limit="1", **{"continue": first["metadata"]["continue"]})
    assert (410, "Expired") == (status, answer["reason"])


@pytest.mark.parametrize(
    "query",
    [
        {"labelselector": "app=x"},
        {"limit": "many"},
        {"watch": "perhaps"},
        {"resourceVersion": "latest"},
        {"continue": "nonsense"},
        {"continue": "x", "resourceVersion": "1"},
        {"watch": "true", "limit": "5"},
        {"resourceVersionMatch": "Exact"},
        {"labelSelector": "app in ("},
        {"fieldSelector": "spec.hostname=x"},
        {"sendInitialEvents": "true"},
    ],
)
async def test_a_query_that_makes_no_sense_is_refused(ask, query):
    status, answer = await ask(PATH, **query)
    assert (400, "Status", "BadRequest") == (status, answer["kind"], answer["reason"])


async def test_a_version_that_is_not_there_yet_is_refused(ask):
    status, answer = await ask(PATH, resourceVersion="999999")
    assert (504, "Timeout") == (status, answer["reason"])


async def test_a_client_that_takes_no_json_is_refused(ask):
    protobuf = {"Accept": "application/vnd.kubernetes.protobuf"}
    assert 406 == (await ask(PATH, headers=protobuf))[0]


@pytest.mark.parametrize(
    "path", ["/", "/api/v1/pods", "/apis/apps/v1/deployments", f"{PATH}/a/log"]
)
async def test_what_the_server_does_not_have_is_not_found(ask, path):
    assert 404 == (await ask(path))[0]


LABELLED = {"metadata": {"labels": {"app": "connector", "tier": "edge"}}}


@pytest.mark.parametrize(
    ("matches", "selector"),
    [
        (True, ""),
        (True, "app=connector"),
        (True, "app==connector,tier!=core"),
        (True, "app in (connector, website),tier"),
        (True, "tier notin (core)"),
        (True, "!absent"),
        (False, "app=website"),
        (False, "absent"),
        (False, "!app"),
        (False, "app notin (connector)"),
        (False, "tier in (core),app=connector"),
    ],
)
def test_label_selectors(matches, selector):
    assert matches is label_predicate(selector)(LABELLED)


@pytest.mark.parametrize("selector", ["app=", "app", "app!=x"])
def test_label_selectors_of_an_object_without_labels(selector):
    assert (selector == "app!=x") is label_predicate(selector)({"metadata": {}})


@pytest.mark.parametrize("selector", ["app in connector", "=x", "a b", ",", "app=x,,tier=y"])
def test_what_is_no_label_selector_is_refused(selector):
    with pytest.raises(Refusal, match="unable to parse requirement"):
        label_predicate(selector)


def test_field_selectors():
    pod = {"metadata": {"name": "a"}, "spec": {"nodeName": "n"}, "status": {"phase": "Running"}}
    assert field_predicate("metadata.name=a,status.phase!=Failed", PODS)(pod)
    assert not field_predicate("spec.nodeName=other", PODS)(pod)
    with pytest.raises(Refusal, match=r"field label not supported: spec\.nodeName"):
        field_predicate("spec.nodeName=n", NODES)


# ── watching ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_watch_shows_each_change_after_its_version(world, ask):
    first = await world.pod("a", node="n")
    async with ask.watch(PATH, resourceVersion=first["metadata"]["resourceVersion"]) as response:
        await world.run(first, "10.0.0.1")
        await world.delete(first)
        await world.vanish(first)
        shown = [await next_event(response) for _ in range(3)]
    assert ["MODIFIED", "MODIFIED", "DELETED"] == [kind for kind, _ in shown]
    versions = [int(document["metadata"]["resourceVersion"]) for _, document in shown]
    assert sorted(set(versions)) == versions
    assert "deletionTimestamp" in shown[1][1]["metadata"]


async def test_a_watch_without_a_version_begins_with_all_that_is_there(world, ask):
    await world.pod("a")
    async with ask.watch(PATH) as response:
        assert "ADDED" == (await next_event(response))[0]
        await world.pod("b")
        assert "b" == (await next_event(response))[1]["metadata"]["name"]


async def test_an_object_that_stops_to_match_is_deleted_to_a_watch_that_selects(world, ask):
    pod = await world.pod("a", labels={"app": "x"})
    async with ask.watch(PATH, labelSelector="app=x") as response:
        assert "ADDED" == (await next_event(response))[0]
        changed = await world.change(pod, lambda it: it["metadata"].update(labels={"app": "y"}))
        kind, shown = await next_event(response)
        assert ("DELETED", {"app": "x"}) == (kind, shown["metadata"]["labels"])
        assert changed["metadata"]["resourceVersion"] == shown["metadata"]["resourceVersion"]
        await world.change(pod, lambda it: it["metadata"].update(labels={"app": "x"}))
        assert "ADDED" == (await next_event(response))[0]


async def test_a_watch_that_wants_bookmarks_gets_them(world, ask):
    pod = await world.pod("a")
    async with ask.watch(
        PATH, resourceVersion=pod["metadata"]["resourceVersion"], allowWatchBookmarks="true"
    ) as response:
        kind, bookmark = await next_event(response)
    assert ("BOOKMARK", "Pod") == (kind, bookmark["kind"])
    assert pod["metadata"]["resourceVersion"] == bookmark["metadata"]["resourceVersion"]


async def test_a_watch_from_before_the_history_is_told_so_in_the_stream(server, world, ask):
    pod = await world.pod("a")
    await world.pod("b")
    server.store.compact()
    async with ask.watch(PATH, resourceVersion=pod["metadata"]["resourceVersion"]) as response:
        assert 200 == response.status
        kind, status = await next_event(response)
    assert ("ERROR", 410, "Expired") == (kind, status["code"], status["reason"])


async def test_a_watch_ends_when_its_time_is_over(ask):
    async with ask.watch(PATH, timeoutSeconds="1") as response, asyncio.timeout(50):
        assert b"" == await response.read()


# ── writing ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_new_pod_is_pending_whatever_status_it_brings(world):
    pod = documents.pod("a")
    pod["status"] = {"phase": "Running"}
    made = await world.create(pod)
    assert "Pending" == made["status"]["phase"]
    assert {"uid", "creationTimestamp", "resourceVersion"} <= set(made["metadata"])


async def test_a_status_and_the_rest_are_changed_apart(world):
    pod = await world.running_pod("a", "10.0.0.1")
    await world.change(pod, lambda it: it.update(status={"phase": "Failed"}))
    assert "Running" == (await world.get(pod))["status"]["phase"]


async def test_a_write_that_is_based_on_an_old_version_conflicts(world, ask):
    old = await world.pod("a")
    await world.run(old, "10.0.0.1")
    status, answer = await ask(f"{PATH}/a", method="PUT", body=old)
    assert (409, "Conflict") == (status, answer["reason"])


async def test_a_pod_on_a_node_is_given_its_grace_period(world):
    pod = await world.pod("a", node="n", grace_s=7)
    await world.delete(pod)
    assert 7 == (await world.get(pod))["metadata"]["deletionGracePeriodSeconds"]
    await world.vanish(pod)
    with pytest.raises(ApiError, match="404"):
        await world.get(pod)


@pytest.mark.parametrize("made", [{"node": None}, {"node": "n"}])
async def test_a_pod_without_a_node_or_with_a_final_phase_is_removed_at_once(world, made):
    pod = await world.pod("a", **made)
    if made["node"]:
        await world.run(pod, "10.0.0.1")
        await world.finish(pod, "Failed")
    await world.delete(pod)
    with pytest.raises(ApiError, match="404"):
        await world.get(pod)


@pytest.mark.parametrize(
    ("message", "change"),
    [
        ("is not a v1 Pod", {"kind": "Node"}),
        ("a DNS-1123 name", {"metadata": {"name": "Not_Valid"}}),
        ("does not match the one of the request", {"metadata": {"name": "a", "namespace": "b"}}),
        ("spec.containers: Required value", {"spec": {"containers": []}}),
        ("image: Required value", {"spec": {"containers": [{"name": "a"}]}}),
        ("already exists", {"metadata": {"name": "there"}}),
    ],
)
async def test_an_object_that_a_real_server_would_not_take_is_refused(world, ask, message, change):
    await world.pod("there")
    status, answer = await ask(PATH, method="POST", body={**documents.pod("a"), **change})
    assert 400 <= status < 500
    assert message in answer["message"]


async def test_a_namespace_that_does_not_exist_has_no_pods_made_in_it(ask):
    path = "/api/v1/namespaces/elsewhere/pods"
    assert 404 == (await ask(path, method="POST", body=documents.pod("a")))[0]


async def test_a_namespace_is_removed_with_all_that_is_in_it(server, ask):
    async with server.world("temporary") as world:
        await world.pod("a")
    _, listed = await ask("/api/v1/namespaces/temporary/pods")
    assert [] == listed["items"]


# ── who may do what ──────────────────────────────────────────────────────────────────────────────


async def test_nobody_gets_in_without_a_valid_token(ask):
    status, answer = await ask(PATH, token="made-up")
    assert (401, "Unauthorized") == (status, answer["reason"])


def role(*, verbs, resources=("pods",), names=(), kind="Role"):
    rule = {"apiGroups": [""], "resources": list(resources), "verbs": list(verbs)}
    if names:
        rule["resourceNames"] = list(names)
    return documents.named(kind, "it", "rbac.authorization.k8s.io/v1", rules=[rule])


async def test_a_refusal_says_who_may_not_do_what_where(world, ask):
    status, answer = await ask(PATH, token=await world.token())
    assert (403, "Forbidden") == (status, answer["reason"])
    assert (
        'pods is forbidden: User "system:serviceaccount:proxies:instance" cannot list resource '
        '"pods" in API group "" in the namespace "proxies"'
    ) == answer["message"]


async def test_a_role_permits_its_verbs_in_its_namespace_only(server, world, ask):
    await world.grant(role(verbs=["list"]))
    token = await world.token()
    assert 200 == (await ask(PATH, token))[0]
    assert 403 == (await ask(PATH, token, watch="true"))[0]
    assert 403 == (await ask(f"{PATH}/a", token))[0]
    assert 403 == (await ask(PATH, token, method="POST", body=documents.pod("a")))[0]
    async with server.world("other"):
        assert 403 == (await ask("/api/v1/namespaces/other/pods", token))[0]


async def test_a_cluster_role_permits_what_is_in_no_namespace(world, ask):
    token = await world.token()
    assert 403 == (await ask("/api/v1/nodes", token))[0]
    await world.grant(role(verbs=["list"], resources=["nodes"], kind="ClusterRole"))
    assert 200 == (await ask("/api/v1/nodes", token))[0]


async def test_an_access_review_says_the_same(world):
    question = {"group": "", "resource": "pods", "everywhere": False}
    assert not await world.may("list", **question)
    await world.grant(role(verbs=["list"]))
    assert await world.may("list", **question)
    assert not await world.may("watch", **question)


async def test_a_role_may_be_limited_to_names(world, ask):
    await world.pod("mine")
    await world.pod("other")
    await world.grant(role(verbs=["get"], names=["mine"]))
    token = await world.token()
    assert 200 == (await ask(f"{PATH}/mine", token))[0]
    assert 403 == (await ask(f"{PATH}/other", token))[0]


# ── faults ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_fault_befalls_what_it_is_meant_for_as_often_as_it_is_meant_to(server, ask):
    server.faults.refuse(429, verb="list", retry_after=3, times=2)
    assert 200 == (await ask("/api/v1/namespaces/proxies"))[0]
    answers = [await ask(PATH) for _ in range(3)]
    assert [429, 429, 200] == [status for status, _ in answers]
    assert 3 == answers[0][1]["details"]["retryAfterSeconds"]


async def test_a_dropped_request_has_no_answer(server, ask):
    server.faults.drop(verb="list", times=2)  # this client asks once more by itself
    with pytest.raises(aiohttp.ClientError):
        await ask(PATH)


async def test_a_stalled_request_has_none_either_and_does_not_hold_up_the_end(server, ask):
    server.faults.stall(verb="list")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await ask(PATH)


async def test_while_etcd_is_away_only_the_cache_answers(server, ask):
    server.faults.etcd_is_away = True
    assert 200 == (await ask(PATH, resourceVersion="0"))[0]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await ask(PATH)
    server.faults.clear()


async def test_plain_http_is_served_where_no_certificate_can_be_made(tmp_path):
    async with ApiServer(tmp_path, https=False) as server, server.world("proxies") as world:
        assert server.url.startswith("http://")
        await world.pod("a")
