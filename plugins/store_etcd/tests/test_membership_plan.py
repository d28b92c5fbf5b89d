"""Which member is added, promoted or removed next, and on what evidence."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formal_cluster.model import Instance, InstanceState, View
from formal_cluster_store_etcd.names import member_name
from formal_cluster_store_etcd.planning.changes import (
    AddLearner,
    MoveLeader,
    Observation,
    Promote,
    Remove,
    Rules,
    SeenMember,
    UpdateAddress,
    Wait,
)
from formal_cluster_store_etcd.planning.membership import plan
from formal_cluster_store_etcd.planning.presence import Presence
from formal_cluster_store_etcd.planning.roster import target_voters

RUNNING, STOPPED, UNKNOWN = InstanceState.RUNNING, InstanceState.STOPPED, InstanceState.UNKNOWN


def presence(number: int, incarnation: int = 1, **more) -> Presence:
    name = f"i{number}"
    return Presence(
        instance=name,
        incarnation=f"{incarnation:08x}",
        member=member_name(name, f"{incarnation:08x}"),
        address=f"10.0.0.{number}",
        client_port=2379,
        peer_port=2380,
        peer_url=f"http://10.0.0.{number}:2380",
        version="3.4.23",
        **more,
    )


def member(number: int, incarnation: int = 1, *, learner=False, healthy=True, started=True, **more):
    return SeenMember(
        id=number * 100 + incarnation,
        name=member_name(f"i{number}", f"{incarnation:08x}") if started else "",
        peer_urls=(f"http://10.0.0.{number}:2380",),
        is_learner=learner,
        healthy=healthy,
        **more,
    )


def view(*states: InstanceState, complete=True) -> View:
    instances = (Instance(f"i{n}", f"10.0.0.{n}", state) for n, state in enumerate(states))
    return View(tuple(instances), complete)


RULES = Rules(
    voters=3,
    replace_silent_after_s=300,
    stalled_learner_s=120,
    shrink_after_s=60,
    leaving_settle_s=1,
    replace_leaver_within_s=10,
)


def seen(members, presences, the_view, cap=3, **more) -> Observation:
    rules = replace(RULES, voters=cap)
    return Observation("i0", 1, tuple(members), tuple(presences), the_view, rules, **more)


def leader(**more) -> SeenMember:
    return replace(member(0, **more), id=1)


@pytest.mark.parametrize(
    ("instances", "cap", "voters"),
    [(0, 3, 1), (1, 3, 1), (2, 3, 1), (3, 3, 3), (4, 3, 3), (4, 5, 3), (5, 5, 5), (100, 7, 7)],
)
def test_voters_are_the_largest_odd_number_that_instances_and_cap_allow(instances, cap, voters):
    assert voters == target_voters(instances, cap)


def test_one_instance_stays_alone():
    assert isinstance(plan(seen([leader()], [presence(0)], view(RUNNING))), Wait)


def test_a_second_instance_becomes_a_learner_and_stays_one():
    presences, both = [presence(0), presence(1)], view(RUNNING, RUNNING)
    step = plan(seen([leader()], presences, both))
    assert isinstance(step, AddLearner)
    assert ("i1", "http://10.0.0.1:2380") == (step.instance, step.peer_url)
    step = plan(seen([leader(), member(1, learner=True)], presences, both))
    assert isinstance(step, Wait)
    assert "stands by" in step.evidence


def test_a_learner_that_does_not_run_yet_holds_up_everything_else():
    added = member(1, learner=True, started=False, healthy=False)
    presences = [presence(n) for n in range(3)]
    step = plan(seen([leader(), added], presences, view(RUNNING, RUNNING, RUNNING)))
    assert isinstance(step, Wait)
    assert "does not run yet" in step.evidence


def test_with_three_instances_the_learner_is_promoted_and_the_third_one_added():
    presences, three = [presence(n) for n in range(3)], view(RUNNING, RUNNING, RUNNING)
    step = plan(seen([leader(), member(1, learner=True)], presences, three))
    assert isinstance(step, Promote)
    assert 101 == step.member_id
    step = plan(seen([leader(), member(1)], presences, three))
    assert isinstance(step, AddLearner)
    assert "i2" == step.instance


def test_a_fourth_instance_stays_a_client():
    members = [leader(), member(1), member(2)]
    step = plan(seen(members, [presence(n) for n in range(4)], view(*[RUNNING] * 4)))
    assert isinstance(step, Wait)


def test_a_zone_without_a_member_comes_first_then_the_oldest_instance():
    presences = [
        presence(0, zone="a"),
        presence(1, zone="a", started_at=1.0),
        presence(2, zone="b", started_at=3.0),
        presence(3, zone="b", started_at=2.0),
    ]
    step = plan(seen([leader()], presences, view(*[RUNNING] * 4)))
    assert isinstance(step, AddLearner)
    assert "i3" == step.instance


def test_an_instance_that_lost_its_disk_is_removed_before_it_is_added_anew():
    presences, three = [presence(0), presence(1), presence(2, 2)], view(*[RUNNING] * 3)
    members = [leader(), member(1), member(2, healthy=False)]
    step = plan(seen(members, presences, three))
    assert isinstance(step, Remove)
    assert 201 == step.member_id
    assert "superseded: i2 is here again as i2-00000002" == step.evidence
    step = plan(seen(members[:2], presences, three))
    assert isinstance(step, AddLearner)
    assert "i2" == step.instance


def test_nothing_is_removed_when_no_healthy_quorum_would_be_left():
    members = [leader(), member(1, healthy=False), member(2, healthy=False)]
    presences = [presence(0), presence(1, 2), presence(2, 2)]
    assert isinstance(plan(seen(members, presences, view(*[RUNNING] * 3))), Wait)


def test_a_superseded_learner_is_removed_whatever_the_voters_health():
    members = [leader(), member(1, healthy=False), member(2, learner=True, healthy=False)]
    presences = [presence(0), presence(1), presence(2, 2)]
    step = plan(seen(members, presences, view(*[RUNNING] * 3)))
    assert isinstance(step, Remove)
    assert 201 == step.member_id


def test_a_member_whose_instance_has_stopped_is_removed():
    members = [leader(), member(1), member(2, healthy=False)]
    step = plan(seen(members, [presence(0), presence(1)], view(RUNNING, RUNNING, STOPPED)))
    assert isinstance(step, Remove)
    assert 201 == step.member_id


@pytest.mark.parametrize("state", [RUNNING, UNKNOWN, InstanceState.STARTING])
def test_a_silent_member_is_kept_while_the_platform_does_not_say_that_it_stopped(state):
    members = [leader(), member(1), member(2, healthy=False)]
    assert isinstance(
        plan(seen(members, [presence(0), presence(1)], view(RUNNING, RUNNING, state))), Wait
    )


def test_a_member_that_answers_is_kept_whatever_the_platform_says():
    members = [leader(), member(1), member(2)]
    presences = [presence(0), presence(1), presence(2, 2)]
    assert isinstance(plan(seen(members, presences, view(RUNNING, RUNNING, STOPPED))), Wait)


def test_a_learner_that_never_started_is_removed_when_its_instance_is_gone():
    added = member(1, learner=True, started=False, healthy=False)
    step = plan(seen([leader(), added], [presence(0)], view(RUNNING, RUNNING)))
    assert isinstance(step, Remove)


def test_an_instance_whose_address_still_belongs_to_another_member_is_not_added():
    taken = presence(3).model_copy(update={"peer_url": "http://10.0.0.1:2380"})
    members = [leader(), member(1, healthy=False)]
    step = plan(seen(members, [presence(0), presence(1), taken], view(*[RUNNING] * 4)))
    assert isinstance(step, Wait)


@pytest.mark.parametrize("no_view", [None, View(()), View((Instance("i1", "10.0.0.1"),))])
def test_nothing_is_changed_on_a_view_that_failed_or_does_not_name_this_instance(no_view):
    members = [leader(), member(1, healthy=False), member(2, learner=True)]
    presences = [presence(0), presence(1, 2), presence(2), presence(3)]
    assert isinstance(plan(seen(members, presences, no_view)), Wait)


# ── whatever is seen ─────────────────────────────────────────────────────────────────────────

numbers = st.integers(1, 5)
incarnations = st.integers(1, 2)
members_seen = st.builds(
    member,
    numbers,
    incarnations,
    learner=st.booleans(),
    healthy=st.booleans(),
    started=st.booleans(),
)
observations = st.builds(
    seen,
    st.lists(members_seen, max_size=6, unique_by=lambda m: m.id).map(lambda ms: [leader(), *ms]),
    st.lists(st.builds(presence, numbers, incarnations), unique_by=lambda p: p.instance),
    st.none()
    | st.lists(st.sampled_from(InstanceState), max_size=6).flatmap(
        lambda states: st.booleans().map(lambda whole: view(*states, complete=whole))
    ),
    st.sampled_from([3, 5, 7]),
)


@given(observations)
def test_only_what_is_safe_is_ever_done(observation):
    step = plan(observation)
    by_id = {m.id: m for m in observation.members}
    voters = [m for m in observation.members if not m.is_learner]
    learners = [m for m in observation.members if m.is_learner]
    if not isinstance(step, Wait):
        assert observation.view is not None
        assert "i0" in {i.id for i in observation.view.instances}
    match step:
        case Remove():
            removed = by_id[step.member_id]
            left = [m for m in voters if m is not removed]
            assert observation.view.complete
            assert observation.own_member != removed.id
            assert not removed.healthy
            assert removed.is_learner or sum(m.healthy for m in left) > len(left) / 2
        case AddLearner():
            assert not learners
            assert step.peer_url not in {url for m in observation.members for url in m.peer_urls}
            assert len(voters) < observation.rules.voters
        case Promote():
            learner = by_id[step.member_id]
            assert learner.is_learner
            assert learner.name
            assert learner.healthy
            assert sum(m.healthy for m in voters) + 1 > (len(voters) + 1) / 2
            assert len(voters) < observation.rules.voters
        case UpdateAddress() | MoveLeader():
            pytest.fail("nobody has moved or is leaving")


@given(st.integers(1, 9), st.sampled_from([3, 5, 7]))
def test_healthy_instances_become_the_right_members_and_then_nothing_happens(size, cap):
    members = [leader()]
    presences = [presence(n) for n in range(size)]
    for _ in range(3 * size):
        match plan(seen(members, presences, view(*[RUNNING] * size), cap)):
            case AddLearner(instance=instance):
                members.append(member(int(instance[1:]), learner=True))
            case Promote(member_id=promoted):
                members = [replace(m, is_learner=False) if m.id == promoted else m for m in members]
            case Wait():
                break
    else:
        pytest.fail("it never settles")
    assert target_voters(size, cap) == sum(not m.is_learner for m in members)
    assert (1 if size == 2 else 0) == sum(m.is_learner for m in members)
