"""What an instance does when its cluster has lost its majority, case by case."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formal_cluster.model import Instance, InstanceState
from formal_cluster_store_etcd.planning import vigil
from formal_cluster_store_etcd.planning.copies import Copy
from formal_cluster_store_etcd.planning.formation import plan
from formal_cluster_store_etcd.planning.identity import Identity, Stage, Vote
from formal_cluster_store_etcd.planning.lineage import Ancestor, Lineage
from formal_cluster_store_etcd.planning.members import ClusterMember
from formal_cluster_store_etcd.planning.observations import LiveEtcd, NoEtcd, Silent, Stranger
from formal_cluster_store_etcd.planning.peer_status import status_of
from formal_cluster_store_etcd.planning.steps import (
    Fence,
    Found,
    GiveConsent,
    GiveVote,
    IntendRestore,
    Join,
    LiftFence,
    Observation,
    Restore,
    RetractRestore,
    Rules,
    SetAside,
    Start,
    Unfence,
    Wait,
)
from formal_cluster_store_etcd.planning.transitions import identity_after

RULES = Rules(stable_s=2, deadline_s=30, leaderless_s=5)
CLUSTER = "c1"


def url(name: str) -> str:
    return f"http://{name}.example:2380"


def incarnation(name: str) -> str:
    return f"{ord(name):08x}"


def identity(name: str, **changes) -> Identity:
    """A member of the cluster at its first epoch, of which a, b and c are the voters."""
    fresh = Identity.fresh(name, url(name), incarnation(name))
    member = {
        "stage": Stage.MEMBER,
        "cluster_id": CLUSTER,
        "epoch": 1,
        "founded_at": 0.0,
        "voters": VOTERS,
    }
    return fresh.model_copy(update={**member, **changes})


VOTERS = {Identity.fresh(n, "", incarnation(n)).member: url(n) for n in "abc"}
CLIENT = {"stage": Stage.UNFORMED, "voters": {}}


def copy(index: int = 10, *, term=2, epoch=1, directory="member", **changes) -> Copy:
    base = Copy(
        epoch=epoch,
        cluster_id=CLUSTER,
        founded_at=0.0,
        term=term,
        index=index,
        directory=directory,
    )
    return base.model_copy(update=changes)


def vote_for(name: str, epoch=2) -> Vote:
    return Vote(epoch=epoch, instance=name, incarnation=incarnation(name))


def no_etcd(name: str, *, held: Copy | None = None, at: str | None = None, **changes) -> NoEtcd:
    own = identity(name, **changes)
    if held is None and own.has_data:
        held = copy()
    return NoEtcd(status_of(own, None, copy_held=held, peer_url=at))


def live(*names: str, cluster=CLUSTER, epoch=1, serving=True, founded_at=0.0, lineage=True):
    members = tuple(
        ClusterMember(ord(n), identity(n).member, (url(n),), (), is_learner=False) for n in names
    )
    known = Lineage(
        epoch=epoch,
        cluster_id=cluster,
        ancestors=(Ancestor(epoch=1, cluster_id=CLUSTER),) if epoch > 1 else (),
        founded_at=founded_at,
        founder="-",
    )
    return LiveEtcd(cluster, members, serving, known if lineage else None, members[0].name)


def expected(alive: str, stopped: str = "", unknown: str = "") -> tuple[Instance, ...]:
    states = dict.fromkeys(alive, InstanceState.RUNNING)
    states |= dict.fromkeys(stopped, InstanceState.STOPPED)
    states |= dict.fromkeys(unknown, InstanceState.UNKNOWN)
    return tuple(Instance(n, f"{n}.example", state) for n, state in sorted(states.items()))


def seen(own: Identity, probes=None, **changes) -> Observation:
    observation = Observation(
        own=own,
        peer_url=own.peer_url,
        expected=expected("a", stopped="bc"),
        stable_s=10,
        waited_s=0,
        probes=probes or {},
        copy_held=copy() if own.has_data else None,
    )
    return replace(observation, **changes)


def step(own: Identity, probes=None, **changes):
    return plan(seen(own, probes, **changes), RULES)


# ── the gate ─────────────────────────────────────────────────────────────────────────────────


def test_with_a_majority_of_the_voters_stopped_the_last_one_fences_itself():
    found = step(identity("a"))
    assert isinstance(found, Fence)
    assert 2 == found.epoch
    assert "the platform says that b has stopped" in found.evidence


def test_silence_is_no_proof_of_death():
    silent = {"b": Silent("b is silent"), "c": Silent("c is silent")}
    assert isinstance(step(identity("a"), silent, expected=expected("a", unknown="bc")), Start)
    assert isinstance(step(identity("a"), silent, expected=expected("abc")), Start)


def test_one_stopped_voter_of_three_is_no_reason_to_fence():
    assert isinstance(step(identity("a"), expected=expected("ab", stopped="c")), Start)


def test_a_voter_that_is_missing_from_the_list_is_not_taken_for_dead():
    assert isinstance(step(identity("a"), expected=expected("a", stopped="b")), Start)


def test_nobody_fences_on_a_discovery_that_failed():
    assert isinstance(step(identity("a"), expected=None), Start)


def test_a_stopped_instance_that_answers_is_alive():
    assert isinstance(step(identity("a"), {"b": no_etcd("b")}), Start)


def test_the_data_of_a_stopped_instance_in_another_ones_hands_is_alive():
    heir = NoEtcd(no_etcd("b").status.model_copy(update={"instance": "d"}))
    found = step(identity("a"), {"d": heir}, expected=expected("ad", stopped="bc"))
    assert isinstance(found, Start)


def test_voters_that_all_have_moved_cannot_find_each_other():
    probes = {"b": no_etcd("b", at=url("y")), "c": Silent("c is silent")}
    own = identity("a")
    found = step(own, probes, expected=expected("abc"), peer_url=url("x"))
    assert isinstance(found, Fence)
    assert f"is at {url('y')} now" in found.evidence


def test_one_that_has_moved_alone_waits_for_the_others_where_they_can_find_it():
    silent = {"b": Silent("b is silent"), "c": Silent("c is silent")}
    found = step(identity("a"), silent, expected=expected("abc"), peer_url=url("x"))
    assert isinstance(found, Wait)
    assert "the address was" in found.evidence


def test_voters_whose_disks_are_lost_are_gone():
    lost = {n: no_etcd(n, incarnation="ffffffff", member=f"{n}-ffffffff", **CLIENT) for n in "bc"}
    found = step(identity("a"), lost, expected=expected("abc"))
    assert isinstance(found, Fence)
    assert "b answers without its data" in found.evidence


def test_an_operators_word_counts_for_those_that_are_silent_and_for_one_epoch():
    silent = {"b": Silent("b is silent"), "c": Silent("c is silent")}
    names = expected("abc")
    assert isinstance(step(identity("a", presumed_dead=2), silent, expected=names), Fence)
    assert isinstance(step(identity("a", presumed_dead=1), silent, expected=names), Start)
    stranger = {**silent, "c": Stranger("an etcd answers", is_etcd=True)}
    own = identity("a", presumed_dead=2, fence=2)
    found = step(own, stranger, expected=names)
    assert isinstance(found, Unfence)  # c may be alive: with a, that is a quorum


def test_an_operators_word_at_another_instance_counts_here():
    vouched = no_etcd("b", presumed_dead=2)
    five = {**VOTERS, "d-00000064": url("d"), "e-00000065": url("e")}
    own = identity("a", voters=five)
    found = step(own, {"b": vouched}, expected=expected("ab", unknown="cde"))
    assert isinstance(found, Fence)


# ── everyone agrees ──────────────────────────────────────────────────────────────────────────


def test_alone_it_fences_votes_intends_and_restores():
    own, taken = identity("a"), []
    for _ in range(5):
        found = step(own)
        taken.append(type(found))
        own = identity_after(found, own)
    assert [Fence, GiveVote, IntendRestore, Restore, Restore] == taken
    assert (Stage.RESTORING, 2, "member") == (own.stage, own.epoch, own.source)
    assert not own.fenced


def test_an_instance_without_data_follows_the_fence_of_one_with_data():
    own = identity("d", **CLIENT)
    names = expected("ad", stopped="bc")
    found = step(own, {"a": no_etcd("a", fence=2)}, expected=names)
    assert isinstance(found, Fence)
    assert 2 == found.epoch
    assert isinstance(step(own, {"a": no_etcd("a")}, expected=names), Wait)


def test_the_highest_fence_is_everyones():
    own = identity("a", fence=2, vote=vote_for("a"), intends_restore=True)
    found = step(own, {"d": no_etcd("d", fence=5, **CLIENT)}, expected=expected("ad", stopped="bc"))
    assert isinstance(found, Fence)
    assert 5 == found.epoch
    assert not identity_after(found, own).intends_restore


@pytest.mark.parametrize(
    ("probe", "why"),
    [
        (Silent("d is silent"), "d is needed: d is silent"),
        (Stranger("who is this"), "d is needed: who is this"),
        (live("d", serving=False), "d still runs its etcd"),
        (no_etcd("d", **CLIENT), "d is not fenced for it yet"),
        (no_etcd("d", fence=2, lifting=True, **CLIENT), "d is not fenced for it yet"),
    ],
)
def test_one_that_has_not_agreed_blocks_the_restoration(probe, why):
    own = identity("a", fence=2, vote=vote_for("a"))
    names = expected("ad", stopped="bc")
    found = step(own, {"d": probe}, expected=names)
    assert isinstance(found, Wait)
    assert why in found.evidence
    intending = own.model_copy(update={"intends_restore": True})
    assert isinstance(step(intending, {"d": probe}, expected=names), RetractRestore)


def test_data_that_cannot_be_read_blocks_the_restoration():
    own = identity("a", fence=2, vote=vote_for("a"))
    unread = NoEtcd(status_of(identity("d", fence=2), "crc mismatch"))
    found = step(own, {"d": unread}, expected=expected("ad", stopped="bc"))
    assert isinstance(found, Wait)
    assert "the data of d cannot be read: crc mismatch" in found.evidence


def test_nothing_is_voted_on_until_discovery_has_settled():
    assert isinstance(step(identity("a", fence=2), stable_s=1), Wait)


def test_the_vote_goes_to_the_most_advanced_copy():
    names = expected("ade", stopped="bc")
    probes = {
        "d": no_etcd("d", fence=2, held=copy(99, term=1)),
        "e": no_etcd("e", fence=2, held=copy(11)),
    }
    found = step(identity("a", fence=2), probes, expected=names)
    assert isinstance(found, GiveVote)
    assert vote_for("e") == found.vote


def test_a_later_epoch_outdoes_a_longer_log():
    held = copy(3, epoch=2, cluster_id="c2")
    probes = {"d": no_etcd("d", fence=3, epoch=2, cluster_id="c2", held=held)}
    own = identity("a", fence=3)
    found = step(own, probes, expected=expected("a", stopped="bcd"))
    assert isinstance(found, GiveVote)
    assert "d" == found.vote.instance


def test_a_learner_that_has_received_nothing_is_no_source():
    probes = {"d": no_etcd("d", fence=2, epoch=1, held=copy(0, term=0))}
    found = step(identity("a", fence=2), probes, expected=expected("ad", stopped="bc"))
    assert isinstance(found, GiveVote)
    assert "a" == found.vote.instance


def test_data_that_was_set_aside_is_restored_when_it_is_all_there_is():
    own = identity("d", **CLIENT)
    aside = copy(7, directory="set-aside-1")
    names = expected("d", stopped="abc")
    taken = []
    for _ in range(4):
        found = step(own, copy_held=aside, expected=names)
        taken.append(type(found))
        own = identity_after(found, own)
    assert [Fence, GiveVote, IntendRestore, Restore] == taken
    assert "set-aside-1" == own.source


def test_a_better_copy_that_comes_late_is_voted_for_in_the_next_epoch():
    own = identity("a", fence=2, vote=vote_for("a"), intends_restore=True)
    probes = {"d": no_etcd("d", fence=2, held=copy(11))}
    found = step(own, probes, expected=expected("ad", stopped="bc"))
    assert isinstance(found, Fence)
    assert 3 == found.epoch
    assert own.vote == identity_after(found, own).vote  # it is remembered whom it had voted for


def test_a_vote_for_one_who_is_dead_is_given_anew_in_the_next_epoch():
    own = identity("a", fence=2, vote=vote_for("b"))
    found = step(own)
    assert isinstance(found, Fence)
    assert 3 == found.epoch


def test_nobody_is_hurried_past_one_that_is_about_to_restore():
    own = identity("a", fence=2, vote=vote_for("d"))
    probes = {
        "d": no_etcd("d", fence=2, intends_restore=True, held=copy(9)),
        "e": no_etcd("e", fence=2, held=copy(11)),
    }
    assert isinstance(step(own, probes, expected=expected("ade", stopped="bc")), Wait)


def test_without_any_copy_those_without_data_found_the_next_epoch():
    own = identity("d", **CLIENT, cluster_id=CLUSTER)
    found = step(own, expected=expected("d", stopped="abc"))
    assert isinstance(found, GiveConsent)
    consenting = identity_after(found, own).model_copy(update={"stage": Stage.INTENDING})
    found = step(consenting, expected=expected("d", stopped="abc"))
    assert isinstance(found, Found)
    assert 2 == found.epoch
    assert None is identity_after(found, consenting).cluster_id


def test_an_empty_learner_left_alone_gives_its_nothing_up():
    own = identity("d", fence=2)
    found = step(own, copy_held=copy(0, term=0), expected=expected("d", stopped="abc"))
    assert isinstance(found, SetAside)


# ── taking the fence back ────────────────────────────────────────────────────────────────────


def test_a_fence_nobody_counts_on_is_lifted_at_once_when_a_quorum_is_possible():
    assert isinstance(step(identity("a", fence=2), {"b": no_etcd("b")}), Unfence)
    own = identity("a", fence=2, vote=vote_for("a"), intends_restore=True)
    assert isinstance(step(own, {"b": no_etcd("b")}), RetractRestore)


def test_a_fence_with_a_vote_is_lifted_in_two_steps():
    own = identity("a", fence=2, vote=vote_for("d"))
    probes = {"b": no_etcd("b"), "d": no_etcd("d", fence=2)}
    names = expected("ad", stopped="bc")
    found = step(own, probes, expected=names)
    assert isinstance(found, LiftFence)
    lifting = identity_after(found, own)
    assert (0, None) == (status_of(lifting, None).fence, status_of(lifting, None).vote)
    assert isinstance(step(lifting, probes, expected=names), Unfence)


def test_it_is_put_back_when_the_one_voted_for_is_about_to_restore():
    own = identity("a", fence=2, vote=vote_for("d"), lifting=True)
    probes = {"b": no_etcd("b"), "d": no_etcd("d", fence=2, intends_restore=True)}
    found = step(own, probes, expected=expected("ad", stopped="bc"))
    assert isinstance(found, Fence)
    assert 2 == found.epoch


@pytest.mark.parametrize(
    "probe",
    [
        Silent("d is silent"),
        no_etcd("d", stage=Stage.RESTORING, epoch=2),
        live("d", cluster="c2", epoch=2, lineage=False),
    ],
)
def test_it_stays_while_the_one_voted_for_may_have_restored(probe):
    own = identity("a", fence=2, vote=vote_for("d"), lifting=True)
    found = step(own, {"b": no_etcd("b"), "d": probe}, expected=expected("ad", stopped="bc"))
    assert isinstance(found, Wait)


def test_a_member_of_a_cluster_that_serves_after_all_returns_to_it():
    own = identity("a", fence=2)
    probes = {"b": live("a", "b", "c")}
    assert isinstance(step(own, probes, expected=expected("abc")), Unfence)
    unfenced = identity_after(Unfence(""), own)
    assert isinstance(step(unfenced, probes, expected=expected("abc")), Start)


# ── the others, and those that come late ─────────────────────────────────────────────────────


def test_older_data_is_set_aside_for_the_restored_cluster_and_the_instance_joins():
    own = identity("a", fence=2, vote=vote_for("d"))
    restored = {"d": live("d", cluster="c2", epoch=2)}
    found = step(own, restored, expected=expected("ad", stopped="bc"))
    assert isinstance(found, SetAside)
    assert "restored from a copy of this data" in found.evidence
    found = step(own.renewed(own.peer_url, "ffffffff"), restored)
    assert isinstance(found, Join)
    joined = identity_after(found, own.renewed(own.peer_url, "ffffffff"))
    assert (2, 0, None) == (joined.epoch, joined.fence, joined.vote)


def test_nobody_starts_on_old_data_beside_one_that_restores_or_has_restored():
    for probe in (
        no_etcd("d", fence=2, intends_restore=True),
        no_etcd("d", stage=Stage.RESTORING, epoch=2),
        no_etcd("d", epoch=2, cluster_id="c2", voters={identity("d").member: url("d")}),
    ):
        found = step(identity("a"), {"d": probe}, expected=expected("abcd"))
        assert isinstance(found, Wait)


def test_a_learner_is_not_started_before_the_lineage_is_known():
    added = ClusterMember(1, "", (url("a"),), (), is_learner=True)
    own = identity("a", **CLIENT)
    cluster = live("d", cluster="c2", epoch=2)
    found = step(own, {"d": replace(cluster, members=(*cluster.members, added))})
    assert isinstance(found, Start)
    assert 2 == identity_after(found, own).epoch
    unknown = replace(cluster, members=(*cluster.members, added), lineage=None)
    assert isinstance(step(own, {"d": unknown}), Join)


@given(
    fence=st.integers(2, 4),
    lifting=st.booleans(),
    vote=st.sampled_from([None, vote_for("a"), vote_for("b"), vote_for("d", 3)]),
    probes=st.fixed_dictionaries(
        {
            name: st.sampled_from(
                [
                    Silent("silent"),
                    Stranger("stranger", is_etcd=True),
                    no_etcd(name),
                    no_etcd(name, fence=2),
                    no_etcd(name, fence=3, vote=vote_for("a", 3)),
                    no_etcd(name, fence=2, intends_restore=True),
                    no_etcd(name, epoch=2, cluster_id="c2"),
                    no_etcd(name, **CLIENT),
                    live(name, serving=False),
                    live(name, "a"),
                    live(name, cluster="c2", epoch=2),
                    live(name, cluster="c2", epoch=2, lineage=False),
                ]
            )
            for name in "bd"
        }
    ),
    names=st.sampled_from(
        [None, expected("abd"), expected("ab", stopped="cd"), expected("ad", stopped="bc")]
    ),
    moved=st.booleans(),
)
def test_a_fenced_instance_never_starts_its_etcd(fence, lifting, vote, probes, names, moved):
    own = identity("a", fence=fence, lifting=lifting, vote=vote)
    found = step(own, probes, expected=names, peer_url=url("x") if moved else url("a"))
    assert not isinstance(found, Start | Found | Join)


# ── while etcd runs ──────────────────────────────────────────────────────────────────────────


def keep_or_stop(own: Identity, probes=None, leaderless_s: float = 60, **changes):
    return vigil.plan(seen(own, probes, **changes), leaderless_s, RULES)


def test_an_etcd_is_stopped_when_its_cluster_can_have_no_quorum_any_more():
    assert isinstance(keep_or_stop(identity("a")), vigil.StopEtcd)
    assert isinstance(keep_or_stop(identity("a"), leaderless_s=1), vigil.KeepRunning)
    assert isinstance(keep_or_stop(identity("a"), expected=None), vigil.KeepRunning)


def test_an_etcd_is_stopped_when_its_cluster_has_gone_on_without_it():
    removed = {"b": live("b", "c")}
    assert isinstance(keep_or_stop(identity("a"), removed), vigil.StopEtcd)
    assert isinstance(keep_or_stop(identity("a"), removed, leaderless_s=1), vigil.KeepRunning)
    assert isinstance(step(identity("a"), removed, expected=expected("abc")), SetAside)
    for kept in (live("a", "b", "c"), live("b", "c", serving=False)):
        found = keep_or_stop(identity("a"), {"b": kept}, expected=expected("abc"))
        assert isinstance(found, vigil.KeepRunning)


def test_an_etcd_without_a_leader_runs_on_without_proof_and_says_what_to_do():
    found = keep_or_stop(identity("a"), expected=expected("abc"))
    assert isinstance(found, vigil.KeepRunning)
    assert "b-00000062 is not known to be gone" in found.advice
    assert "--i-know-the-others-are-dead" in found.advice


@pytest.mark.parametrize(
    ("other", "stops"),
    [
        ({"epoch": 2}, True),
        ({"founded_at": -1.0}, True),
        ({"founded_at": 1.0}, False),
        ({"cluster": "c0"}, True),
        ({"cluster": "c2"}, False),
    ],
)
def test_of_two_clusters_the_one_that_is_to_stay_is_agreed_on(other, stops):
    probes = {"d": live("d", **{"cluster": "c2", **other})}
    found = keep_or_stop(identity("a"), probes, leaderless_s=0)
    assert stops is isinstance(found, vigil.StopEtcd)
    assert stops is isinstance(step(identity("a"), probes, expected=expected("abcd")), SetAside)


def test_a_rival_that_may_be_the_one_to_stay_is_reported():
    for rival in (
        live("d", cluster="c2", lineage=False),
        live("d", cluster="c2", epoch=2, serving=False),
    ):
        found = keep_or_stop(identity("a"), {"d": rival}, leaderless_s=0)
        assert isinstance(found, vigil.KeepRunning)
        assert found.rivalled
