"""The driver against an API server: ours, or the one that FORMAL_CLUSTER_TEST_KUBECONFIG names.

Everything here goes by the Roles of the documentation and nothing more.
"""

from __future__ import annotations

import asyncio
import re

import pytest

from formal_cluster.errors import DiscoveryError, DiscoveryUnavailable
from formal_cluster.model import InstanceState
from formal_cluster_conformance.k8s import documents
from formal_cluster_conformance.k8s.world import ApiError
from formal_cluster_discovery_k8s import looks as looking

PODS, NODES, SERVICE = "formal-cluster", "formal-cluster-nodes", "formal-cluster-service"
LABELS = {"app": "connector"}
SELECTOR = "app=connector"
SOON = 0.3
MISSING = "an optional permission is missing"
RBAC = "rbac.authorization.k8s.io/v1"


@pytest.fixture
async def node(place):
    """A node that is Ready."""
    try:
        return await place.world.node("one", zone="eu-1a")
    except ApiError as error:
        pytest.skip(f"this server lets nobody make nodes: {error}")


def name_of(document):
    return document["metadata"]["name"]


def uid_of(document):
    return document["metadata"]["uid"]


# ── who am I ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_pod_identifies_itself_by_its_uid(place, node, drive):
    pod = await place.world.running_pod("a", "10.0.0.1", labels=LABELS, node=name_of(node))
    driver = drive(pod, kubeconfig=await place.kubeconfig(PODS, NODES), label_selector=SELECTOR)
    me = await driver.identify()
    assert (uid_of(pod), "10.0.0.1", InstanceState.RUNNING) == (me.id, me.address, me.state)
    assert "eu-1a" == me.zone
    assert me.started_at is not None


async def test_a_pod_knows_its_address_before_the_server_does(place, node, drive):
    pod = await place.world.pod("a", labels=LABELS, node=name_of(node))
    kubeconfig = await place.kubeconfig(PODS)
    given = {"kubeconfig": kubeconfig, "label_selector": SELECTOR}
    with pytest.raises(DiscoveryUnavailable, match=r"pod a has no IP address yet; setting POD_IP"):
        await drive(pod, **given).identify()
    driver = drive(pod, environment={"POD_IP": "10.0.0.1"}, **given)
    assert "10.0.0.1" == (await driver.identify()).address
    view = await driver.discover()
    assert [(uid_of(pod), "10.0.0.1", "running")] == [
        (instance.id, instance.address, instance.state) for instance in view.instances
    ]


async def test_an_instance_id_that_the_others_cannot_know_is_refused(place, drive):
    pod = await place.world.running_pod("a", "10.0.0.1", labels=LABELS)
    kubeconfig = await place.kubeconfig(PODS)
    driver = drive(pod, instance_id="mine", kubeconfig=kubeconfig, label_selector=SELECTOR)
    with pytest.raises(DiscoveryError, match=rf"'{uid_of(pod)}'; remove instance\.id"):
        await driver.identify()


async def test_a_process_whose_pods_name_was_taken_by_another_pod_must_not_run(place, drive):
    pod = await place.world.running_pod("a", "10.0.0.1", labels=LABELS)
    kubeconfig = await place.kubeconfig(PODS)
    await place.world.vanish(pod)
    await place.world.running_pod("a", "10.0.0.2", labels=LABELS)
    with pytest.raises(DiscoveryError, match=r"was deleted by force and replaced by one with UID"):
        await drive(pod, kubeconfig=kubeconfig, label_selector=SELECTOR).identify()


async def test_a_name_that_is_no_pods_is_refused_with_the_mend(place, drive):
    driver = drive(
        environment={"POD_NAME": "laptop"},
        kubeconfig=await place.kubeconfig(PODS),
        label_selector=SELECTOR,
    )
    with pytest.raises(DiscoveryError, match=r"there is no pod laptop .* set POD_NAME, POD_NAMESP"):
        await driver.identify()


async def test_a_selector_that_does_not_select_the_own_pod_is_refused(place, drive):
    pod = await place.world.running_pod("a", "10.0.0.1", labels={"app": "other"})
    driver = drive(pod, kubeconfig=await place.kubeconfig(PODS), label_selector=SELECTOR)
    with pytest.raises(DiscoveryError, match=r"this pod, a, does not have the labels of"):
        await driver.identify()


async def test_outside_of_a_pod_the_instances_are_seen_but_none_is_this_process(
    place, drive, states
):
    await place.world.running_pod("a", "10.0.0.1", labels=LABELS)
    driver = drive(kubeconfig=await place.kubeconfig(PODS), label_selector=SELECTOR)
    assert {"10.0.0.1": "running"} == states(await driver.discover())
    with pytest.raises(DiscoveryError, match=r"which pod is this process\? set POD_NAME"):
        await driver.identify()


# ── who else is there ────────────────────────────────────────────────────────────────────────────


async def test_pods_are_peers_whether_or_not_they_are_ready(place, node, drive, states):
    world, where = place.world, name_of(node)
    ready = await world.pod("ready", labels=LABELS, node=where)
    await world.run(ready, "10.0.0.1", ready=True)
    await world.running_pod("unready", "10.0.0.2", labels=LABELS, node=where)
    await world.running_pod("other", "10.0.0.3", labels={"app": "website"}, node=where)
    failed = await world.running_pod("failed", "10.0.0.4", labels=LABELS, node=where)
    await world.finish(failed, "Failed")
    leaving = await world.running_pod("leaving", "10.0.0.5", labels=LABELS, node=where)
    await world.delete(leaving)
    await world.pod("unscheduled", labels=LABELS)
    driver = drive(kubeconfig=await place.kubeconfig(PODS), label_selector=SELECTOR)
    view = await driver.discover()
    assert {
        "10.0.0.1": "running",
        "10.0.0.2": "running",
        "10.0.0.4": "stopped",
        "10.0.0.5": "unknown",
    } == states(view)
    assert view.complete


async def test_a_pod_on_a_node_that_has_no_address_yet_makes_the_view_incomplete(
    place, node, drive, states
):
    await place.world.running_pod("a", "10.0.0.1", labels=LABELS, node=name_of(node))
    await place.world.pod("b", labels=LABELS, node=name_of(node))
    driver = drive(kubeconfig=await place.kubeconfig(PODS), label_selector=SELECTOR)
    view = await driver.discover()
    assert ({"10.0.0.1": "running"}, False) == (states(view), view.complete)


async def test_nobody_is_not_an_answer(place, drive):
    driver = drive(kubeconfig=await place.kubeconfig(PODS), label_selector=SELECTOR)
    with pytest.raises(DiscoveryUnavailable, match=r"there are no pods in namespace .* with app="):
        await driver.discover()


@pytest.mark.parametrize(
    ("address", "given"),
    [("10.0.0.1", {}), ("10.0.0.1", {"ip_family": "ipv4"}), ("fd00::1", {"ip_family": "ipv6"})],
)
async def test_a_dual_stack_pod_is_reached_at_the_preferred_address(place, drive, address, given):
    pod = await place.world.running_pod("a", "10.0.0.1", "fd00::1", labels=LABELS)
    kubeconfig = await place.kubeconfig(PODS)
    driver = drive(pod, kubeconfig=kubeconfig, label_selector=SELECTOR, **given)
    assert address == (await driver.identify()).address
    assert [address] == [instance.address for instance in (await driver.discover()).instances]


async def test_an_ipv6_cluster_works(place, drive, states):
    pod = await place.world.running_pod("a", "fd00::1", labels=LABELS)
    await place.world.running_pod("b", "fd00::2", labels=LABELS)
    driver = drive(pod, kubeconfig=await place.kubeconfig(PODS), label_selector=SELECTOR)
    assert {"fd00::1": "running", "fd00::2": "running"} == states(await driver.discover())


async def test_without_a_selector_the_peers_are_the_pods_of_the_own_controller(
    place, drive, states
):
    if place.server is None:
        pytest.skip("a real server collects pods as garbage whose controller does not exist")
    world = place.world
    owner = ("StatefulSet", "connector")
    pod = await world.running_pod("connector-0", "10.0.0.1", owner=owner)
    await world.running_pod("connector-1", "10.0.0.2", owner=owner)
    await world.running_pod("website-0", "10.0.0.3", owner=("StatefulSet", "website"))
    driver = drive(pod, kubeconfig=await place.kubeconfig(PODS))
    assert {"10.0.0.1": "running", "10.0.0.2": "running"} == states(await driver.discover())


async def test_both_revisions_of_a_deployment_see_each_other(place, drive, states):
    if place.server is None:
        pytest.skip("a real server collects pods as garbage whose controller does not exist")
    both = {"10.0.0.1": "running", "10.0.0.2": "running"}
    pods = [
        await place.world.running_pod(
            f"connector-{revision}-x",
            address,
            owner=("ReplicaSet", f"connector-{revision}"),
            labels={"pod-template-hash": revision, "version": revision},
        )
        for revision, address in (("1a", "10.0.0.1"), ("2b", "10.0.0.2"))
    ]
    kubeconfig = await place.kubeconfig(PODS)
    for pod in pods:
        view = await drive(pod, kubeconfig=kubeconfig).discover()
        assert both == states(view)
        assert {"1a", "2b"} == {instance.generation for instance in view.instances}


# ── life and death ───────────────────────────────────────────────────────────────────────────────


async def test_a_watch_follows_a_rolling_replacement(place, node, drive, watching):
    world, where = place.world, name_of(node)
    old = await world.running_pod("old", "10.0.0.1", labels=LABELS, node=where)
    driver = drive(kubeconfig=await place.kubeconfig(PODS), label_selector=SELECTOR)
    async with watching(driver) as views:
        await views.until({"10.0.0.1": "running"})
        new = await world.pod("new", labels=LABELS, node=where)
        await world.run(new, "10.0.0.2")
        await views.until({"10.0.0.1": "running", "10.0.0.2": "running"})
        await world.delete(old)
        await views.until({"10.0.0.1": "unknown", "10.0.0.2": "running"})
        await world.finish(old, "Succeeded")
        await views.until({"10.0.0.1": "stopped", "10.0.0.2": "running"})
        await world.delete(old, grace_s=0)
        await world.running_pod("newer", "10.0.0.3", labels=LABELS, node=where)
        await views.until({"10.0.0.1": "stopped", "10.0.0.2": "running", "10.0.0.3": "running"})


async def test_a_stateful_pod_that_comes_back_under_its_name_is_another_instance(
    place, node, drive, watching
):
    world, where = place.world, name_of(node)
    first = await world.running_pod("connector-0", "10.0.0.1", labels=LABELS, node=where)
    driver = drive(kubeconfig=await place.kubeconfig(PODS), label_selector=SELECTOR)
    async with watching(driver) as views:
        await views.until({"10.0.0.1": "running"})
        await world.replace(first)
        second = await world.running_pod("connector-0", "10.0.0.2", labels=LABELS, node=where)
        view = await views.until({"10.0.0.1": "stopped", "10.0.0.2": "running"})
    assert {uid_of(first), uid_of(second)} == {instance.id for instance in view.instances}


async def test_a_pod_deleted_by_force_is_stopped_once_its_node_has_stayed_ready(
    place, node, drive, watching
):
    where = name_of(node)
    pod = await place.world.running_pod("a", "10.0.0.1", labels=LABELS, node=where, grace_s=0)
    await place.world.running_pod("b", "10.0.0.2", labels=LABELS, node=where)
    kubeconfig = await place.kubeconfig(PODS, NODES)
    driver = drive(kubeconfig=kubeconfig, label_selector=SELECTOR, gone_margin=SOON)
    async with watching(driver) as views:
        await views.until({"10.0.0.1": "running", "10.0.0.2": "running"})
        await place.world.vanish(pod)
        await views.until({"10.0.0.1": "unknown", "10.0.0.2": "running"})
        await views.until({"10.0.0.1": "stopped", "10.0.0.2": "running"})


async def test_a_pod_lost_with_its_node_stays_unknown_until_the_node_is_back(
    place, node, drive, watching, looks
):
    where = name_of(node)
    pod = await place.world.running_pod("a", "10.0.0.1", labels=LABELS, node=where, grace_s=0)
    await place.world.running_pod("b", "10.0.0.2", labels=LABELS)
    kubeconfig = await place.kubeconfig(PODS, NODES)
    driver = drive(kubeconfig=kubeconfig, label_selector=SELECTOR, gone_margin=SOON)
    async with watching(driver) as views:
        await views.until({"10.0.0.1": "running", "10.0.0.2": "running"})
        await place.world.set_ready(node, ready=False)
        await place.world.vanish(pod)
        await views.until({"10.0.0.1": "unknown", "10.0.0.2": "running"})
        await looks(driver, 4)
        assert InstanceState.UNKNOWN in {i.state for i in (await driver.discover()).instances}
        await place.world.set_ready(node, ready=True)
        await views.until({"10.0.0.1": "stopped", "10.0.0.2": "running"})


async def test_without_permission_to_read_nodes_a_vanished_pod_stays_unknown_and_that_is_said(
    place, node, drive, watching, looks, caplog
):
    where = name_of(node)
    pod = await place.world.running_pod("a", "10.0.0.1", labels=LABELS, node=where, grace_s=0)
    await place.world.running_pod("b", "10.0.0.2", labels=LABELS, node=where)
    kubeconfig = await place.kubeconfig(PODS)
    driver = drive(kubeconfig=kubeconfig, label_selector=SELECTOR, gone_margin=SOON)
    async with watching(driver) as views:
        await views.until({"10.0.0.1": "running", "10.0.0.2": "running"})
        await place.world.vanish(pod)
        await views.until({"10.0.0.1": "unknown", "10.0.0.2": "running"})
        await looks(driver, 4)
        view = await driver.discover()
    assert [InstanceState.UNKNOWN] == [i.state for i in view.instances if i.address == "10.0.0.1"]
    [said] = [record for record in caplog.records if "optional permission" in record.message]
    assert re.search("Without it: a pod that vanishes .* never known to be dead", said.reason)
    assert "kind: ClusterRole" in said.reason


async def test_a_permission_that_was_given_and_taken_away_again_is_missed_again(
    our_place, drive, watching, monkeypatch, caplog
):
    monkeypatch.setattr(looking, "_TRY_AGAIN_S", 0.01)
    world = our_place.world
    where = name_of(await world.node("n"))
    pods = [
        await world.running_pod(f"p{n}", f"10.0.0.{n}", labels=LABELS, node=where, grace_s=0)
        for n in (1, 2, 3)
    ]
    kubeconfig = await our_place.kubeconfig(PODS)
    driver = drive(kubeconfig=kubeconfig, label_selector=SELECTOR, gone_margin=SOON)

    async def missed(times):
        async with asyncio.timeout(50):
            while times > [r.message for r in caplog.records].count(MISSING):
                await asyncio.sleep(0.01)

    async with watching(driver) as views:
        await views.until({"10.0.0.1": "running", "10.0.0.2": "running", "10.0.0.3": "running"})
        await missed(1)
        await our_place.kubeconfig(NODES)
        await world.vanish(pods[0])
        await views.until({"10.0.0.1": "stopped", "10.0.0.2": "running", "10.0.0.3": "running"})
        name = f"{our_place.namespace}-{NODES}"
        await world.delete(documents.named("ClusterRoleBinding", name, RBAC))
        await world.vanish(pods[1])
        await missed(2)
    assert 2 == [r.message for r in caplog.records].count(MISSING)


async def test_a_pod_whose_labels_changed_is_not_dead_until_it_is(place, node, drive, watching):
    world = place.world
    pod = await world.running_pod("a", "10.0.0.1", labels=LABELS, node=name_of(node), grace_s=0)
    await world.running_pod("b", "10.0.0.2", labels=LABELS, node=name_of(node))
    kubeconfig = await place.kubeconfig(PODS, NODES)
    driver = drive(kubeconfig=kubeconfig, label_selector=SELECTOR, gone_margin=SOON)
    async with watching(driver) as views:
        await views.until({"10.0.0.1": "running", "10.0.0.2": "running"})
        await world.change(pod, lambda it: it["metadata"].update(labels={"app": "quarantine"}))
        await views.until({"10.0.0.1": "unknown", "10.0.0.2": "running"})
        await world.finish(pod, "Failed")
        await views.until({"10.0.0.1": "stopped", "10.0.0.2": "running"})


async def test_a_pod_that_was_declared_failed_without_its_node_is_unknown(place, drive, states):
    pod = await place.world.running_pod("a", "10.0.0.1", labels=LABELS)
    declared = {**(await place.world.get(pod))["status"], "phase": "Failed"}
    await place.world.set_status(pod, declared)
    driver = drive(kubeconfig=await place.kubeconfig(PODS), label_selector=SELECTOR)
    assert {"10.0.0.1": "unknown"} == states(await driver.discover())


async def test_what_a_watch_has_learnt_a_read_knows_too(place, node, drive, watching, states):
    where = name_of(node)
    pod = await place.world.running_pod("a", "10.0.0.1", labels=LABELS, node=where)
    await place.world.running_pod("b", "10.0.0.2", labels=LABELS, node=where)
    driver = drive(kubeconfig=await place.kubeconfig(PODS), label_selector=SELECTOR)
    async with watching(driver) as views:
        await views.until({"10.0.0.1": "running", "10.0.0.2": "running"})
        await place.world.replace(pod)
        await views.until({"10.0.0.1": "stopped", "10.0.0.2": "running"})
    assert {"10.0.0.1": "stopped", "10.0.0.2": "running"} == states(await driver.discover())


async def test_reads_alone_come_to_the_same_conclusions(place, node, drive, states):
    pod = await place.world.running_pod(
        "a", "10.0.0.1", labels=LABELS, node=name_of(node), grace_s=0
    )
    await place.world.running_pod("b", "10.0.0.2", labels=LABELS)
    kubeconfig = await place.kubeconfig(PODS, NODES)
    driver = drive(kubeconfig=kubeconfig, label_selector=SELECTOR, gone_margin=0.05)
    await driver.discover()
    await place.world.vanish(pod)
    found = [states(await driver.discover())]
    while found[-1] == found[0]:
        found.append(states(await driver.discover()))
    assert {"10.0.0.1": "unknown", "10.0.0.2": "running"} == found[0]
    assert {"10.0.0.1": "stopped", "10.0.0.2": "running"} == found[-1]


async def test_zones_come_from_the_nodes(place, node, drive, watching):
    other = await place.world.node("two", zone="eu-1b")
    for name, address, where in (("a", "10.0.0.1", node), ("b", "10.0.0.2", other)):
        await place.world.running_pod(name, address, labels=LABELS, node=name_of(where))
    kubeconfig = await place.kubeconfig(PODS, NODES)
    driver = drive(kubeconfig=kubeconfig, label_selector=SELECTOR)
    view = await driver.discover()
    assert {"eu-1a", "eu-1b"} == {instance.zone for instance in view.instances}


# ── a headless Service ───────────────────────────────────────────────────────────────────────────


async def test_a_services_slices_tell_the_instances(place, drive, watching, states):
    world = place.world
    pods = {name: await world.pod(name) for name in ("a", "b")}
    a = documents.endpoint(pods["a"], "10.0.0.1", serving=True, zone="eu-1a")
    b = documents.endpoint(pods["b"], "10.0.0.2", serving=False)
    await world.publish("peers-1", "peers", [a, b])
    await world.publish("website-1", "website", [a])
    driver = drive(
        pods["a"],
        environment={"POD_IP": "10.0.0.1"},
        kubeconfig=await place.kubeconfig(SERVICE),
        service="peers",
    )
    assert uid_of(pods["a"]) == (await driver.identify()).id
    async with watching(driver) as views:
        view = await views.until({"10.0.0.1": "running", "10.0.0.2": "starting"})
        assert {"eu-1a", None} == {instance.zone for instance in view.instances}
        leaving = documents.endpoint(pods["b"], "10.0.0.2", serving=True, terminating=True)
        await world.publish("peers-1", "peers", [a, leaving])
        await views.until({"10.0.0.1": "running", "10.0.0.2": "unknown"})
        await world.publish("peers-1", "peers", [a])
        await views.until({"10.0.0.1": "running", "10.0.0.2": "unknown"})


async def test_with_permission_to_read_pods_one_that_left_the_service_is_found_dead(
    place, node, drive, watching
):
    world = place.world
    pods = {name: await world.pod(name, node=name_of(node)) for name in ("a", "b")}
    a = documents.endpoint(pods["a"], "10.0.0.1", serving=True)
    b = documents.endpoint(pods["b"], "10.0.0.2", serving=True)
    await world.publish("peers-1", "peers", [a, b])
    kubeconfig = await place.kubeconfig(SERVICE, PODS)
    driver = drive(kubeconfig=kubeconfig, service="peers", gone_margin=SOON)
    async with watching(driver) as views:
        await views.until({"10.0.0.1": "running", "10.0.0.2": "running"})
        await world.run(pods["b"], "10.0.0.2")
        await world.finish(pods["b"], "Failed")
        await world.publish("peers-1", "peers", [a])
        await views.until({"10.0.0.1": "running", "10.0.0.2": "stopped"})


# ── least privilege ──────────────────────────────────────────────────────────────────────────────


async def test_without_the_role_the_driver_says_which_one_it_needs(place, drive):
    driver = drive(kubeconfig=await place.kubeconfig(), label_selector=SELECTOR)
    with pytest.raises(DiscoveryUnavailable) as refused:
        await driver.discover()
    text = str(refused.value)
    assert f"does not let this instance list pods in namespace {place.namespace}" in text
    assert f"system:serviceaccount:{place.namespace}:{documents.SERVICE_ACCOUNT}" in text
    assert "resources: [pods]\n    verbs: [get, list, watch]" in text


async def test_a_role_that_is_bound_later_is_noticed(place, drive, documented_role, watching):
    await place.world.running_pod("a", "10.0.0.1", labels=LABELS)
    driver = drive(kubeconfig=await place.kubeconfig(), label_selector=SELECTOR)
    with pytest.raises(DiscoveryUnavailable):
        await driver.discover()
    await place.world.grant(documented_role(PODS))
    async with watching(driver) as views:
        await views.until({"10.0.0.1": "running"})


async def test_a_selector_that_is_none_is_refused_for_good(place, drive):
    driver = drive(kubeconfig=await place.kubeconfig(PODS), label_selector="app in (")
    with pytest.raises(DiscoveryError, match=r"Correct discovery\.k8s\.label_selector") as refused:
        await driver.discover()
    assert not isinstance(refused.value, DiscoveryUnavailable)


async def test_every_request_is_one_that_the_documented_roles_permit(
    place, node, drive, watching, documented_role
):
    if place.server is None:
        pytest.skip("a real server does not show what it was asked")
    where = name_of(node)
    pod = await place.world.running_pod("a", "10.0.0.1", labels=LABELS, node=where, grace_s=0)
    await place.world.running_pod("b", "10.0.0.2", labels=LABELS, node=where)
    kubeconfig = await place.kubeconfig(PODS, NODES)
    me = await place.world.running_pod("me", "10.0.0.3", labels=LABELS, node=where)
    driver = drive(me, kubeconfig=kubeconfig, label_selector=SELECTOR, gone_margin=SOON)
    await driver.identify()
    async with watching(driver) as views:
        await views.until({f"10.0.0.{n}": "running" for n in (1, 2, 3)})
        await place.world.vanish(pod)
        await views.until({"10.0.0.1": "stopped", "10.0.0.2": "running", "10.0.0.3": "running"})
    user = f"system:serviceaccount:{place.namespace}:{documents.SERVICE_ACCOUNT}"
    asked = {(r.verb, r.resource) for r in place.server.requests if r.user == user}
    granted = {
        (verb, resource)
        for role in (PODS, NODES)
        for rule in documented_role(role)["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert granted == asked
