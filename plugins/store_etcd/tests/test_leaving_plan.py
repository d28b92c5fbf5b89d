"""How long an instance that leaves goes on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from formal_cluster_store_etcd.names import member_name
from formal_cluster_store_etcd.planning.leaving import Farewell, Go, Stay, plan
from formal_cluster_store_etcd.planning.members import ClusterMember
from formal_cluster_store_etcd.planning.presence import Presence


def name_of(instance: str) -> str:
    return member_name(instance, "00000001")


def member(instance: str) -> ClusterMember:
    return ClusterMember(ord(instance), name_of(instance), (), (), is_learner=False)


def presence(instance: str, *, draining: bool) -> Presence:
    return Presence(
        instance=instance,
        incarnation="00000001",
        member=name_of(instance),
        address=instance,
        client_port=2379,
        peer_port=2380,
        peer_url=f"http://{instance}:2380",
        version="3.4.23",
        draining=draining,
    )


LEAVES = Farewell(
    member=name_of("a"),
    members=(member("a"), member("b")),
    presences=(presence("a", draining=True), presence("b", draining=False)),
    ended=False,
    silent_s=0.1,
    waited_s=1.0,
    removed_s=0.0,
    grace_s=20.0,
)


def test_it_stays_until_it_has_been_removed():
    assert Stay("waiting until its member is removed") == plan(LEAVES)


@pytest.mark.parametrize(
    ("seen", "evidence"),
    [
        (replace(LEAVES, member=None), "it is not a member"),
        (replace(LEAVES, members=()), "it is not a member"),
        (replace(LEAVES, silent_s=3.0), "no quorum answers that could remove it"),
        (replace(LEAVES, silent_s=None), "no quorum answers that could remove it"),
        (replace(LEAVES, waited_s=20.0), "it has not been removed within 20 s"),
        (replace(LEAVES, members=(member("b"),), ended=True), "it has been removed"),
        (replace(LEAVES, members=(member("b"),), removed_s=3.0), "it has been removed"),
    ],
)
def test_it_goes_when_there_is_nothing_to_wait_for(seen, evidence):
    assert Go(evidence) == plan(seen)


def test_it_lets_its_etcd_end_by_itself_when_it_has_been_removed():
    step = plan(replace(LEAVES, members=(member("b"),), removed_s=2.9))
    assert Stay("it has been removed; its etcd is about to end") == step


def test_it_goes_at_once_when_everyone_leaves():
    everyone = tuple(presence(name, draining=True) for name in "ab")
    step = plan(replace(LEAVES, presences=everyone))
    assert isinstance(step, Go)
    assert step.together


def test_that_nobody_is_known_to_be_there_does_not_mean_that_everyone_leaves():
    assert isinstance(plan(replace(LEAVES, presences=())), Stay)
