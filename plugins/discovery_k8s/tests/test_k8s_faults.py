"""What servers and networks do to a driver that only wants to watch. Always against our server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import socket
import threading
import time
from pathlib import Path

import pytest
from aiohttp import web

from formal_cluster.errors import DiscoveryUnavailable
from formal_cluster_conformance.k8s import ApiServer, credentials, documents
from formal_cluster_conformance.k8s.resources import PODS, Target

LABELS = {"app": "connector"}
SELECTOR = "app=connector"
A, B = "10.0.0.1", "10.0.0.2"


@pytest.fixture
def stalled_after():
    """After how many seconds of silence the driver takes a watch for broken: never, unless a test
    is about that. On a slow machine bookmarks come late."""
    return 600.0


@pytest.fixture
async def watched(our_place, drive, watching, watch_under_way, stalled_after):
    """The place and the views of a driver that already watches pod a; pod b is made by a test."""
    await our_place.world.running_pod("a", A, labels=LABELS)
    kubeconfig = await our_place.kubeconfig("formal-cluster")
    driver = drive(kubeconfig=kubeconfig, label_selector=SELECTOR, stalled_after=stalled_after)
    async with watching(driver) as views:
        await views.until({A: "running"})
        await watch_under_way(our_place.server)
        yield our_place, views


async def b_is_noticed(place, views):
    await place.world.running_pod("b", B, labels=LABELS)
    await views.until({A: "running", B: "running"})


def counted(server, verb, resource="pods"):
    return sum((r.verb, r.resource) == (verb, resource) for r in server.requests)


def newest_watched(server):
    """The latest version that a watch began at."""
    return max(int(r.query["resourceVersion"]) for r in server.requests if r.verb == "watch")


def a_pod(version, address):
    metadata = {"name": address, "uid": address, "resourceVersion": version}
    return {"metadata": metadata, "status": {"phase": "Running", "podIP": address}}


def a_list(version, address):
    items = [a_pod(version, address)]
    return json.dumps({"metadata": {"resourceVersion": version}, "items": items})


def an_event(version, address):
    return json.dumps({"type": "ADDED", "object": a_pod(version, address)}) + "\n"


# ── watches ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_watch_that_the_server_ends_is_followed_by_another_from_where_it_ended(
    our_place, drive, watching
):
    await our_place.world.running_pod("a", A, labels=LABELS)
    kubeconfig = await our_place.kubeconfig("formal-cluster")
    driver = drive(kubeconfig=kubeconfig, label_selector=SELECTOR, watch_seconds=1)
    async with watching(driver) as views:
        await views.until({A: "running"})
        await b_is_noticed(our_place, views)
        first = next(r.query for r in our_place.server.requests if r.verb == "watch")
        async with asyncio.timeout(50):
            while int(first["resourceVersion"]) >= newest_watched(our_place.server):
                await asyncio.sleep(0.01)
    assert 1 == counted(our_place.server, "list")
    assert "1" == first["timeoutSeconds"]


async def test_a_watch_that_was_cut_is_resumed_without_a_new_list(watched):
    place, views = watched
    place.server.watches[0].drop()
    await b_is_noticed(place, views)
    assert 1 == counted(place.server, "list")


async def test_a_watch_that_was_cut_and_goes_on_at_once_is_no_warning(watched, caplog):
    place, views = watched
    place.server.watches[0].drop()
    await b_is_noticed(place, views)
    assert [] == [record.message for record in caplog.records if record.levelno > logging.INFO]


@pytest.mark.parametrize("stalled_after", [0.4])
async def test_a_watch_that_has_gone_silent_is_noticed_and_resumed(watched):
    place, views = watched
    place.server.watches[0].stall()
    await b_is_noticed(place, views)
    assert 1 == counted(place.server, "list")


@pytest.mark.parametrize("stalled_after", [0.4])
async def test_a_watch_whose_answer_never_begins_is_noticed_too(watched):
    place, views = watched
    place.server.faults.stall(verb="watch")
    place.server.watches[0].drop()
    await b_is_noticed(place, views)


@pytest.mark.parametrize("stalled_after", [3.0])
async def test_bookmarks_alone_keep_a_quiet_watch_alive(watched):
    place, views = watched
    await asyncio.sleep(4.0)  # longer than silence is endured
    assert 1 == counted(place.server, "watch")
    await b_is_noticed(place, views)


async def test_a_history_that_was_compacted_is_listed_again(watched):
    place, views = watched
    place.server.faults.refuse(500, verb="watch", times=1)
    place.server.watches[0].drop()
    await place.world.running_pod("b", B, labels=LABELS)
    place.server.store.compact()
    await views.until({A: "running", B: "running"})
    assert 2 == counted(place.server, "list")


@pytest.mark.parametrize("as_event", [True, False], ids=["as an event", "as a status"])
async def test_gone_leads_to_a_new_list_however_the_server_says_it(watched, as_event):
    place, views = watched
    if as_event:
        place.server.watches[0].fail(410, "too old resource version")
    else:
        place.server.faults.refuse(410, verb="watch")
        place.server.watches[0].drop()
    await b_is_noticed(place, views)
    async with asyncio.timeout(50):
        while counted(place.server, "list") < 2:
            await asyncio.sleep(0.01)


async def test_a_pod_that_was_deleted_while_nobody_watched_is_missed(watched):
    place, views = watched
    await b_is_noticed(place, views)
    place.server.faults.refuse(503, verb="watch", times=1)
    place.server.watches[0].drop()
    target = Target(PODS, place.namespace, "b")
    place.server.store.delete(target, 0)
    place.server.store.compact()
    await views.until({A: "running", B: "unknown"})


@pytest.mark.parametrize("code", [500, 504])
async def test_an_error_within_a_watch_is_survived(watched, code):
    place, views = watched
    place.server.watches[0].fail(code)
    await b_is_noticed(place, views)


async def test_a_failing_watch_is_not_asked_for_in_a_loop(watched):
    place, _ = watched
    place.server.faults.refuse(503, verb="watch", times=1_000)
    begun = time.monotonic()
    place.server.watches[0].drop()
    async with asyncio.timeout(50):
        while counted(place.server, "watch") < 4:
            await asyncio.sleep(0.01)
    assert time.monotonic() - begun > 0.5


# ── reads ────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def driver(our_place, drive):
    """A driver that sees pod a."""
    await our_place.world.running_pod("a", A, labels=LABELS)
    kubeconfig = await our_place.kubeconfig("formal-cluster")
    driver = drive(kubeconfig=kubeconfig, label_selector=SELECTOR, timeout=50)
    await driver.discover()
    return driver


@pytest.fixture
async def hasty_driver(our_place, drive):
    """One that gives up soon, and so may not even see pod a in time."""
    await our_place.world.running_pod("a", A, labels=LABELS)
    kubeconfig = await our_place.kubeconfig("formal-cluster")
    return drive(kubeconfig=kubeconfig, label_selector=SELECTOR, timeout=0.3)


@pytest.mark.parametrize("code", [429, 500, 503])
async def test_a_read_that_is_refused_is_not_retried_behind_our_back(our_place, driver, code):
    before = counted(our_place.server, "list")
    our_place.server.faults.refuse(code, verb="list", retry_after=1)
    with pytest.raises(DiscoveryUnavailable, match=f"at the moment: {code} injected"):
        await driver.discover()
    assert before + 1 == counted(our_place.server, "list")


async def test_a_read_that_is_cut_is_unknown(our_place, driver):
    our_place.server.faults.drop(verb="list")
    with pytest.raises(DiscoveryUnavailable, match=r"does not answer .* tried again"):
        await driver.discover()


async def test_a_read_that_is_slow_is_given_up_in_time(our_place, hasty_driver):
    our_place.server.faults.slow(600, verb="list")
    with pytest.raises(DiscoveryUnavailable):
        await hasty_driver.discover()


async def test_while_etcd_is_away_nobody_is_fooled_by_a_cache(our_place, hasty_driver):
    our_place.server.faults.etcd_is_away = True
    with pytest.raises(DiscoveryUnavailable):
        await hasty_driver.discover()
    reads = [r.query for r in our_place.server.requests if r.verb in {"get", "list"}]
    assert {None} == {query.get("resourceVersion") for query in reads}


async def test_a_read_can_be_cancelled_while_the_server_stalls(our_place, driver):
    our_place.server.faults.stall(verb="list")
    reading = asyncio.create_task(driver.discover())
    before = counted(our_place.server, "list")
    async with asyncio.timeout(50):
        while counted(our_place.server, "list") == before:
            await asyncio.sleep(0.005)
    reading.cancel()
    async with asyncio.timeout(50):
        with pytest.raises(asyncio.CancelledError):
            await reading
    assert (await driver.discover()).complete


async def test_after_a_refusal_in_a_watch_the_server_is_left_alone_as_long_as_it_asks(
    our_place, drive, watching
):
    await our_place.world.running_pod("a", A, labels=LABELS)
    kubeconfig = await our_place.kubeconfig("formal-cluster")
    our_place.server.faults.refuse(429, verb="list", retry_after=1)
    driver = drive(kubeconfig=kubeconfig, label_selector=SELECTOR)
    begun = time.monotonic()
    async with watching(driver) as views:
        await views.until({A: "running"})
    assert time.monotonic() - begun > 1.0


async def test_a_long_list_is_read_in_pages_of_one_moment(our_place, driver):
    store, namespace = our_place.server.store, our_place.namespace
    for number in range(1_100):
        pod = documents.pod(f"p-{number}", labels=LABELS)
        target = Target(PODS, namespace)
        store.create(target, pod)
        status = documents.running([f"10.1.{number // 250}.{number % 250}"], ready=True, started="")
        store.replace(Target(PODS, namespace, f"p-{number}", "status"), {**pod, "status": status})
    before = len(our_place.server.requests)
    view = await driver.discover()
    pages = [r.query for r in our_place.server.requests[before:] if r.verb == "list"]
    assert 1_101 == len(view.instances)
    assert 3 == len(pages)
    assert {"500"} == {page["limit"] for page in pages}


async def test_a_list_that_changes_faster_than_its_pages_are_read_is_read_in_one(our_place, driver):
    for number in range(600):
        our_place.server.store.create(
            Target(PODS, our_place.namespace), documents.pod(f"p-{number}", labels=LABELS)
        )
    our_place.server.faults.refuse(410, verb="list", resource="pods")
    view = await driver.discover()
    assert 1 == len(view.instances)
    assert "limit" not in our_place.server.requests[-1].query


async def test_no_thread_is_left_when_the_driver_is_closed(our_place, drive, watch_under_way):
    await our_place.world.running_pod("a", A, labels=LABELS)
    kubeconfig = await our_place.kubeconfig("formal-cluster")
    driver = drive(kubeconfig=kubeconfig, label_selector=SELECTOR)
    views = driver.watch()
    await anext(views)
    await watch_under_way(our_place.server)
    await views.aclose()
    await driver.aclose()
    async with asyncio.timeout(50):
        while any(thread.name == "formal-cluster-k8s" for thread in threading.enumerate()):
            await asyncio.sleep(0.005)


@pytest.fixture
async def stranger(tmp_path):
    """Kubernetes according to whatever is on the way there: each answer is the next of a list."""
    answers = []

    async def answer(request):
        return web.Response(text=answers.pop(0), content_type="application/json")

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    kubeconfig = credentials.write_kubeconfig(
        tmp_path / "kubeconfig",
        url=f"http://{host}:{port}",
        token="any",
        ca_file=None,
        namespace="proxies",
    )
    yield answers, kubeconfig
    await runner.cleanup()


@pytest.mark.parametrize("body", ["", "null", "[]", "{}", '{"metadata": {}}', "<html>"])
async def test_an_answer_that_is_not_of_kubernetes_is_unknown(stranger, drive, body):
    answers, kubeconfig = stranger
    answers.append(body)
    with pytest.raises(DiscoveryUnavailable, match="broke off"):
        await drive(kubeconfig=kubeconfig, label_selector=SELECTOR).discover()


@pytest.mark.parametrize(
    "line", ["null", "[]", "{}", '{"type": "ADDED"}', '{"type": "ADDED", "object": {}}', "<html>"]
)
async def test_a_watch_that_tells_of_no_events_of_kubernetes_is_resumed(
    stranger, drive, watching, line
):
    answers, kubeconfig = stranger
    answers += [a_list("1", A), f"{line}\n", an_event("2", B)]
    driver = drive(kubeconfig=kubeconfig, label_selector=SELECTOR)
    async with watching(driver) as views:
        await views.until({A: "running", B: "running"})


async def test_an_empty_list_may_be_null(stranger, drive):
    answers, kubeconfig = stranger
    answers.append('{"metadata": {"resourceVersion": "1"}, "items": null}')
    with pytest.raises(DiscoveryUnavailable, match="there are no pods"):
        await drive(kubeconfig=kubeconfig, label_selector=SELECTOR).discover()


def quiet_port():
    """A free port that the kernel gives to nobody who asks for any."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        with socket.socket() as probe, contextlib.suppress(OSError):
            port = random.randrange(1_024, lowest)
            probe.bind(("127.0.0.1", port))
            return port


async def test_a_server_that_is_not_there_is_unknown_and_found_when_it_is(
    tmp_path, drive, watching, watch_under_way, caplog
):
    caplog.set_level(logging.INFO)
    first = ApiServer(tmp_path)
    first.port = quiet_port()
    async with first:
        kubeconfig = first.write_kubeconfig(tmp_path / "kubeconfig", namespace="proxies")
    driver = drive(kubeconfig=kubeconfig, label_selector=SELECTOR)
    with pytest.raises(DiscoveryUnavailable, match=r"https?://127\.0\.0\.1:\d+ does not answer"):
        await driver.discover()
    async with watching(driver) as views:
        waiting = asyncio.create_task(views.until({A: "running"}))
        async with asyncio.timeout(50):
            while not caplog.records:
                await asyncio.sleep(0.01)
        async with first, first.world("proxies") as world:
            await world.running_pod("a", A, labels=LABELS)
            await waiting
            await watch_under_way(first)
    assert ["discovery source does not answer", "discovery source answers again"] == [
        record.message for record in caplog.records if record.message.startswith("discovery")
    ]
