"""What lists and watch events add up to, in whatever order they arrive."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from formal_cluster.model import InstanceState
from formal_cluster_discovery_k8s import pods, slices
from formal_cluster_discovery_k8s.cache import Cache, Event, Listing
from formal_cluster_discovery_k8s.departures import Finding
from formal_cluster_discovery_k8s.nodes import Readiness

MARGIN = 10.0
STOPPED, UNKNOWN, RUNNING = InstanceState.STOPPED, InstanceState.UNKNOWN, InstanceState.RUNNING


def pod(uid: str, version: int, phase: str = "Running", ip: str | None = "10.0.0.1") -> Any:
    return {
        "metadata": {"uid": uid, "name": uid, "resourceVersion": str(version)},
        "spec": {"nodeName": "node-1", "terminationGracePeriodSeconds": 0},
        "status": {"phase": phase} | ({"podIP": ip} if ip else {}),
    }


def pod_cache(*items: Any, version: int = 10) -> Cache:
    cache = Cache(lambda document: (pods.parse(document),), MARGIN)
    cache.replace(Listing(items, str(version)), 0.0)
    return cache


def states(cache: Cache) -> dict[str, str]:
    return {peer.id: peer.state.value for peer in cache.peers()}


def test_a_cache_is_synced_by_its_first_list_even_an_empty_one():
    cache = Cache(lambda document: (pods.parse(document),), MARGIN)
    assert not cache.synced
    cache.replace(Listing((), "10"), 0.0)
    assert cache.synced
    assert {} == states(cache)


def test_events_add_change_and_remove_pods():
    cache = pod_cache(pod("a", 5))
    cache.fold(Event("ADDED", pod("b", 11, "Pending")), 1.0)
    assert {"a": "running", "b": "starting"} == states(cache)
    cache.fold(Event("MODIFIED", pod("b", 12)), 2.0)
    assert {"a": "running", "b": "running"} == states(cache)
    cache.fold(Event("DELETED", pod("a", 13)), 3.0)
    assert {"a": "unknown", "b": "running"} == states(cache)


def test_a_bookmark_changes_nothing():
    cache = pod_cache(pod("a", 5))
    cache.fold(Event("BOOKMARK", {"metadata": {"resourceVersion": "99"}}), 1.0)
    assert {"a": "running"} == states(cache)


def test_a_pod_missing_from_a_new_list_has_gone():
    cache = pod_cache(pod("a", 5), pod("b", 6))
    cache.replace(Listing((pod("b", 6),), "20"), 5.0)
    assert {"a": "unknown", "b": "running"} == states(cache)
    assert ["a"] == [departed.peer.id for departed in cache.to_look_at(5.0)]


def test_an_event_older_than_the_list_is_no_news():
    cache = pod_cache(pod("a", 5, "Failed"), version=10)
    cache.fold(Event("MODIFIED", pod("b", 9)), 1.0)
    assert {"a": "stopped"} == states(cache)


def test_a_list_older_than_the_last_event_is_no_news():
    cache = pod_cache(pod("a", 5), version=10)
    cache.fold(Event("ADDED", pod("b", 11)), 1.0)
    cache.replace(Listing((pod("a", 5),), "10"), 2.0)
    assert {"a": "running", "b": "running"} == states(cache)


def test_versions_that_are_no_numbers_all_count_as_news():
    cache = Cache(lambda document: (pods.parse(document),), MARGIN)
    cache.replace(Listing((pod("a", 5),), "opaque-z"), 0.0)
    event = pod("b", 6)
    event["metadata"]["resourceVersion"] = "opaque-a"
    cache.fold(Event("ADDED", event), 1.0)
    cache.replace(Listing((), "opaque-0"), 2.0)
    assert {"a": "unknown", "b": "unknown"} == states(cache)


def test_a_deletion_shows_a_final_phase_that_was_never_seen_before():
    cache = pod_cache(pod("a", 5))
    cache.fold(Event("DELETED", pod("a", 11, "Succeeded")), 1.0)
    assert {"a": "stopped"} == states(cache)
    assert cache.next_look() is None


def test_stopped_is_final():
    cache = pod_cache(pod("a", 5, "Failed"))
    cache.fold(Event("MODIFIED", pod("a", 11, "Running")), 1.0)
    assert {"a": "stopped"} == states(cache)
    cache.fold(Event("DELETED", pod("a", 12, "Running")), 2.0)
    cache.fold(Event("ADDED", pod("a", 13, "Running")), 3.0)
    assert {"a": "stopped"} == states(cache)


def test_a_pod_that_failed_keeps_the_address_that_it_lost():
    cache = pod_cache(pod("a", 5))
    cache.fold(Event("MODIFIED", pod("a", 11, "Failed", ip=None)), 1.0)
    [peer] = cache.peers()
    assert ("10.0.0.1",) == peer.addresses


def test_a_pod_that_never_had_an_address_is_not_missed():
    cache = pod_cache(pod("a", 5, "Pending", ip=None), pod("b", 6, "Failed", ip=None))
    cache.replace(Listing((), "20"), 1.0)
    assert {"b": "stopped"} == states(cache)


def test_a_replacement_under_the_same_name_is_another_instance():
    replacement = pod("b", 12)
    replacement["metadata"]["name"] = "a"
    cache = pod_cache(pod("a", 5))
    cache.fold(Event("DELETED", pod("a", 11)), 1.0)
    cache.fold(Event("ADDED", replacement), 2.0)
    assert {"a": "unknown", "b": "running"} == states(cache)


READY = Readiness("node", "2026-11-01T00:00:00Z")


def test_looks_at_a_departed_pod_lead_to_its_end():
    cache = pod_cache(pod("a", 5))
    cache.replace(Listing((), "20"), 1.0)
    assert 1.0 == cache.next_look()
    assert not cache.looked_at("a", Finding(None, READY, 1.0, 1.0), 1.0)
    assert 1.0 + MARGIN / 4 == cache.next_look()
    assert [] == cache.to_look_at(1.1)
    assert cache.looked_at("a", Finding(None, READY, 11.0, 11.0), 11.0)
    assert {"a": "stopped"} == states(cache)


def test_a_look_that_failed_is_repeated_later():
    cache = pod_cache(pod("a", 5))
    cache.replace(Listing((), "20"), 1.0)
    assert not cache.looked_at("a", None, 1.0)
    assert ({"a": "unknown"}, 1.0 + MARGIN / 4) == (states(cache), cache.next_look())


def test_a_look_at_a_pod_that_came_back_in_the_meantime_is_void():
    cache = pod_cache(pod("a", 5))
    cache.replace(Listing((), "20"), 1.0)
    cache.replace(Listing((pod("a", 21),), "22"), 2.0)
    assert not cache.looked_at("a", Finding(STOPPED, None, 1.0, 1.0), 3.0)
    assert {"a": "running"} == states(cache)


def test_what_has_gone_is_forgotten_after_a_day():
    cache = pod_cache(pod("a", 5), pod("b", 6))
    cache.fold(Event("DELETED", pod("a", 11)), 0.0)
    cache.fold(Event("MODIFIED", pod("b", 12)), 24 * 3600 - 1.0)
    assert {"a", "b"} == set(states(cache))
    cache.fold(Event("MODIFIED", pod("b", 13)), 24 * 3600.0)
    assert {"b"} == set(states(cache))


def test_no_more_than_a_thousand_of_the_gone_are_remembered_the_newest_ones():
    cache = pod_cache()
    for number in range(1_200):
        cache.fold(Event("DELETED", pod(f"pod-{number}", 11 + number)), float(number))
    assert {f"pod-{number}" for number in range(200, 1_200)} == set(states(cache))


def endpoint_slice(uid: str, version: int, *ids: str, kind: str = "IPv4") -> Any:
    address = "10.0.0.1" if kind == "IPv4" else "fd00::1"
    return {
        "metadata": {"uid": uid, "name": uid, "resourceVersion": str(version)},
        "addressType": kind,
        "endpoints": [
            {
                "addresses": [address],
                "conditions": {"serving": True},
                "targetRef": {"kind": "Pod", "uid": id_, "name": id_},
            }
            for id_ in ids
        ],
    }


def slice_cache(*items: Any) -> Cache:
    cache = Cache(slices.parse, MARGIN)
    cache.replace(Listing(items, "10"), 0.0)
    return cache


def test_an_endpoint_that_moves_to_another_slice_never_leaves():
    cache = slice_cache(endpoint_slice("s1", 1, "a", "b"))
    cache.fold(Event("ADDED", endpoint_slice("s2", 11, "b")), 1.0)
    cache.fold(Event("MODIFIED", endpoint_slice("s1", 12, "a")), 2.0)
    assert {"a": "running", "b": "running"} == states(cache)
    assert cache.next_look() is None


def test_an_endpoint_that_leaves_its_slice_has_gone():
    cache = slice_cache(endpoint_slice("s1", 1, "a", "b"))
    cache.fold(Event("MODIFIED", endpoint_slice("s1", 11, "a")), 1.0)
    assert {"a": "running", "b": "unknown"} == states(cache)


def test_a_dual_stack_pod_has_gone_when_it_has_left_both_slices():
    cache = slice_cache(endpoint_slice("s4", 1, "a"), endpoint_slice("s6", 2, "a", kind="IPv6"))
    cache.fold(Event("MODIFIED", endpoint_slice("s4", 11)), 1.0)
    assert {"a": "running"} == states(cache)
    cache.fold(Event("DELETED", endpoint_slice("s6", 12, kind="IPv6")), 2.0)
    assert {"a": "unknown"} == states(cache)


def test_a_new_slice_set_in_one_list_moves_nobody_out():
    cache = slice_cache(endpoint_slice("s1", 1, "a", "b"))
    cache.replace(Listing((endpoint_slice("s2", 15, "b", "a"),), "20"), 1.0)
    assert {"a": "running", "b": "running"} == states(cache)


IDS = st.sampled_from(["a", "b", "c"])
STEPS = st.lists(st.tuples(IDS, st.sampled_from(["Pending", "Running", "Failed", "gone"])))


def history(steps: list[tuple[str, str]]) -> tuple[list[Event], list[dict[str, Any]]]:
    """The events of these steps, and the pods there are after each of them."""
    world: dict[str, Any] = {}
    events, worlds = [], [dict(world)]
    for version, (uid, phase) in enumerate(steps, start=1):
        if phase == "gone":
            kind, document = "DELETED", {**world.pop(uid, pod(uid, version))}
            document["metadata"] = {**document["metadata"], "resourceVersion": str(version)}
        else:
            kind = "MODIFIED" if uid in world else "ADDED"
            document = world[uid] = pod(uid, version, phase)
        events.append(Event(kind, document))
        worlds.append(dict(world))
    return events, worlds


@given(STEPS, st.data())
def test_lists_of_any_age_in_between_leave_the_same_picture_as_the_events_alone(steps, data):
    events, worlds = history(steps)
    cache = Cache(lambda document: (pods.parse(document),), MARGIN)
    cache.replace(Listing((), "0"), 0.0)
    dead: set[str] = set()
    for version, event in enumerate(events, start=1):
        if data.draw(st.booleans()):
            at = data.draw(st.integers(0, len(events)))
            cache.replace(Listing(tuple(worlds[at].values()), str(at)), 0.0)
        cache.fold(event, 0.0)
        now_dead = {id_ for id_, state in states(cache).items() if state == "stopped"}
        assert dead <= now_dead, "an instance came back from the dead"
        dead = now_dead
        assert version <= int(cache.version)
    listed = {id_ for id_, state in states(cache).items() if state in {"running", "starting"}}
    assert set(worlds[-1]) - dead == listed
