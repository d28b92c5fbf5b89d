"""What an instance does about what it finds at the others, case by case."""

from __future__ import annotations

from dataclasses import replace

import pytest

from formal_cluster.model import Instance, InstanceState
from formal_cluster_store_etcd.planning.formation import plan
from formal_cluster_store_etcd.planning.identity import Consent, Identity, Stage
from formal_cluster_store_etcd.planning.lineage import Ancestor, Lineage
from formal_cluster_store_etcd.planning.members import ClusterMember
from formal_cluster_store_etcd.planning.observations import LiveEtcd, NoEtcd, Silent, Stranger
from formal_cluster_store_etcd.planning.peer_status import status_of
from formal_cluster_store_etcd.planning.steps import (
    GiveConsent,
    Intend,
    Join,
    Observation,
    Retract,
    Rules,
    SetAside,
    Start,
    Wait,
    WithdrawConsent,
)

RULES = Rules(stable_s=2, deadline_s=30)


def instance(name: str, **more) -> Instance:
    return Instance(name, f"{name}.example", **more)


def identity(name: str, **changes) -> Identity:
    fresh = Identity.fresh(name, f"http://{name}.example:2380", f"{ord(name):08x}")
    return fresh.model_copy(update=changes)


def consent_to(name: str) -> Consent:
    return Consent(instance=name, incarnation=f"{ord(name):08x}")


def no_etcd(name: str, error: str | None = None, **changes) -> NoEtcd:
    return NoEtcd(status_of(identity(name, **changes), error))


def listed(name: str, *, learner=False, started=True) -> ClusterMember:
    return ClusterMember(
        id=ord(name),
        name=identity(name).member if started else "",
        peer_urls=(f"http://{name}.example:2380",),
        client_urls=(f"http://{name}.example:2379",) if started else (),
        is_learner=learner,
    )


def lineage_of(cluster: str, *, epoch=1, founded_at=0.0, after: str | None = None) -> Lineage:
    ancestors = () if after is None else (Ancestor(epoch=epoch - 1, cluster_id=after),)
    return Lineage(
        epoch=epoch, cluster_id=cluster, ancestors=ancestors, founded_at=founded_at, founder="a"
    )


def live(*members: ClusterMember, cluster="c1", serving=True, lineage=True) -> LiveEtcd:
    known = lineage_of(cluster) if lineage is True else lineage
    return LiveEtcd(cluster, members, serving, known or None, members[0].name)


def seen(own: Identity, probes, **changes) -> Observation:
    observation = Observation(
        own=own,
        peer_url=own.peer_url,
        expected=(instance("a"), instance("b"), instance("c")),
        stable_s=10,
        waited_s=0,
        probes=probes,
    )
    return replace(observation, **changes)


def step(own: Identity, probes, **changes):
    return plan(seen(own, probes, **changes), RULES)


# ── founding ─────────────────────────────────────────────────────────────────────────────────


def test_consent_goes_to_the_smallest_id_when_nobody_knows_who_started_first():
    found = step(identity("b"), {"a": no_etcd("a"), "c": no_etcd("c")})
    assert isinstance(found, GiveConsent)
    assert consent_to("a") == found.consent


def test_consent_goes_to_the_oldest_instance_when_that_is_known():
    expected = (instance("a", started_at=3.0), instance("b", started_at=2.0))
    found = step(identity("a"), {"b": no_etcd("b")}, expected=expected)
    assert isinstance(found, GiveConsent)
    assert consent_to("b") == found.consent


def test_nothing_is_decided_while_one_is_silent_and_the_deadline_has_not_passed():
    probes = {"b": no_etcd("b"), "c": Silent("c is silent")}
    found = step(identity("a"), probes)
    assert isinstance(found, Wait)
    assert "c is silent" in found.evidence
    assert isinstance(step(identity("a"), probes, waited_s=31), GiveConsent)


def test_a_stopped_instance_is_not_waited_for_but_counts_towards_the_majority():
    stopped = instance("c", state=InstanceState.STOPPED)
    expected = (instance("a"), instance("b"), stopped)
    both = {"b": no_etcd("b", consent=consent_to("a"))}
    founder = identity("a", consent=consent_to("a"))
    assert isinstance(step(founder, both, expected=expected), Intend)
    many_stopped = (*expected, *(instance(n, state=InstanceState.STOPPED) for n in "def"))
    alone = {"b": Silent("silent")}
    assert isinstance(step(founder, alone, expected=many_stopped, waited_s=31), Wait)


def test_nothing_is_decided_until_discovery_has_settled():
    probes = {"b": no_etcd("b"), "c": no_etcd("c")}
    assert isinstance(step(identity("a"), probes, stable_s=1), Wait)


def test_nothing_is_decided_on_a_discovery_that_failed():
    assert isinstance(step(identity("a"), {}, expected=None), Wait)


def test_data_anywhere_stops_a_founding_and_says_where_it_is():
    holder = no_etcd("b", "its disk is full", stage=Stage.MEMBER, cluster_id="c1")
    found = step(identity("a"), {"b": holder, "c": no_etcd("c")}, waited_s=1_000)
    assert isinstance(found, Wait)
    assert (
        "b holds the cluster's data, and its etcd does not run: its disk is full" == found.evidence
    )


def test_a_majority_that_remembers_a_cluster_does_not_found_another():
    probes = {"b": no_etcd("b", cluster_id="c1"), "c": Silent("c is silent")}
    found = step(identity("a"), probes, waited_s=1_000)
    assert isinstance(found, Wait)
    assert "there was a cluster" in found.evidence


def test_when_everyone_is_there_without_data_the_remembered_cluster_is_gone():
    probes = {"b": no_etcd("b", cluster_id="c1"), "c": no_etcd("c")}
    assert isinstance(step(identity("a"), probes), GiveConsent)


@pytest.mark.parametrize("stage", [Stage.UNFORMED, Stage.INTENDING])
def test_a_strangers_etcd_stops_a_founding(stage):
    probes = {"b": Stranger("an etcd answers", is_etcd=True), "c": no_etcd("c")}
    found = step(identity("a", stage=stage, consent=consent_to("a")), probes, waited_s=1_000)
    assert isinstance(found, Retract if stage is Stage.INTENDING else Wait)


def test_a_consent_to_someone_who_is_silent_is_kept():
    probes = {"a": Silent("a is silent"), "c": no_etcd("c")}
    found = step(identity("b", consent=consent_to("a")), probes, waited_s=1_000)
    assert isinstance(found, Wait)
    assert "may have founded the cluster" in found.evidence


def test_a_consent_to_someone_who_is_not_first_is_withdrawn_before_it_is_given_anew():
    probes = {"a": no_etcd("a"), "c": no_etcd("c")}
    own = identity("b", consent=consent_to("b"))
    assert isinstance(step(own, probes), WithdrawConsent)
    found = step(own.model_copy(update={"withdrawing": True}), probes)
    assert isinstance(found, GiveConsent)
    assert consent_to("a") == found.consent


def test_a_withdrawn_consent_goes_back_to_one_who_was_about_to_found():
    probes = {"a": no_etcd("a"), "b": no_etcd("b", stage=Stage.INTENDING)}
    own = identity("c", consent=consent_to("b"), withdrawing=True)
    found = step(own, probes)
    assert isinstance(found, GiveConsent)
    assert consent_to("b") == found.consent


# ── joining ──────────────────────────────────────────────────────────────────────────────────


def test_a_cluster_that_runs_is_joined_whatever_was_going_on():
    probes = {"a": live(listed("a")), "c": no_etcd("c")}
    found = step(identity("b", consent=consent_to("b")), probes, expected=None)
    assert isinstance(found, Join)
    assert "c1" == found.cluster_id
    assert isinstance(step(identity("b", stage=Stage.INTENDING), probes), Retract)


def test_a_cluster_without_a_quorum_is_waited_for():
    found = step(identity("b"), {"a": live(listed("a"), serving=False)})
    assert isinstance(found, Wait)
    assert "without a quorum" in found.evidence


def test_an_instance_that_was_added_starts_with_the_list_as_it_is():
    cluster = live(listed("a"), listed("b", learner=True, started=False))
    found = step(identity("b"), {"a": cluster})
    assert isinstance(found, Start)
    assert {
        identity("a").member: "http://a.example:2380",
        identity("b").member: "http://b.example:2380",
    } == found.initial_cluster
    assert "c1" == found.cluster_id


def test_an_address_that_still_belongs_to_an_earlier_member_is_not_started_on():
    earlier = replace(listed("b"), name="b-ffffffff")
    assert isinstance(step(identity("b"), {"a": live(listed("a"), earlier)}), Join)


def test_two_clusters_are_reported_and_none_is_joined_while_a_lineage_is_not_known():
    probes = {"a": live(listed("a")), "c": live(listed("c"), cluster="c2", lineage=None)}
    found = step(identity("b"), probes)
    assert isinstance(found, Wait)
    assert "cluster c1 runs at a, cluster c2 runs at c" in found.evidence


# ── with data ────────────────────────────────────────────────────────────────────────────────


def test_data_is_started_on_even_without_discovery():
    own = identity("b").in_cluster("c1")
    found = step(own, {}, expected=None)
    assert isinstance(found, Start)
    assert {own.member: own.peer_url} == found.initial_cluster


def test_a_founder_goes_on_founding():
    found = step(identity("a", stage=Stage.FOUNDING), {"b": Silent("b is silent")})
    assert isinstance(found, Start)
    assert found.initial_cluster is None


def test_data_of_a_removed_member_is_set_aside_if_the_cluster_serves_without_it():
    own = identity("b").in_cluster("c1")
    assert isinstance(step(own, {"a": live(listed("a"))}), SetAside)
    assert isinstance(step(own, {"a": live(listed("a"), serving=False)}), Start)


def test_data_is_kept_if_any_member_still_knows_it():
    probes = {"a": live(listed("a")), "c": live(listed("a"), listed("b"), serving=False)}
    assert isinstance(step(identity("b").in_cluster("c1"), probes), Start)


def test_a_member_at_a_new_address_starts_over_only_if_the_cluster_serves_without_it():
    own, moved = identity("b").in_cluster("c1"), "http://elsewhere.example:2380"
    members = listed("a"), listed("b")
    assert isinstance(step(own, {"a": live(*members)}, peer_url=moved), SetAside)
    assert isinstance(step(own, {"a": live(*members, serving=False)}, peer_url=moved), Start)


def test_a_member_whose_new_address_the_others_were_told_stays_what_it_is():
    own, moved = identity("b").in_cluster("c1"), "http://elsewhere.example:2380"
    entry = replace(listed("b"), peer_urls=(moved,))
    assert isinstance(step(own, {"a": live(listed("a"), entry)}, peer_url=moved), Start)


@pytest.mark.parametrize("who", ["itself", "another"])
def test_after_a_restart_of_all_a_member_starts_where_the_newest_list_has_it(who):
    moved = "http://elsewhere.example:2380"
    old = {identity(name).member: f"http://{name}.example:2380" for name in "abc"}
    new = old | {identity("b").member: moved}

    def member(name: str, *, knows: bool) -> Identity:
        lists = {"voters": new, "voters_index": 9} if knows else {"voters": old, "voters_index": 5}
        return identity(name).in_cluster("c1").model_copy(update=lists)

    own = member("b", knows=who == "itself")
    silent = {"c": Silent("c is silent")}
    knowing = {"a": NoEtcd(status_of(member("a", knows=True), None))} | silent
    assert isinstance(step(own, knowing if who == "another" else silent, peer_url=moved), Start)
    unaware = {"a": NoEtcd(status_of(member("a", knows=False), None))} | silent
    assert isinstance(step(member("b", knows=False), unaware, peer_url=moved), Wait)


@pytest.mark.parametrize("stage", [Stage.MEMBER, Stage.FOUNDING])
def test_data_beside_a_cluster_of_unknown_lineage_is_left_to_the_operator(stage):
    own = identity("b", stage=stage, cluster_id="c9" if stage is Stage.MEMBER else None)
    found = step(own, {"a": live(listed("a"), lineage=None)})
    assert isinstance(found, Wait)
    assert "move its data directory away" in found.evidence
