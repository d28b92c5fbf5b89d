"""When a database is compacted, defragmented, disarmed, and what an operator is warned of."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formal_cluster_store_etcd.planning.maintenance import (
    Compact,
    Defragment,
    Disarm,
    Observation,
    Rules,
    SeenDatabase,
    Wait,
    plan,
    warnings,
)
from formal_cluster_store_etcd.planning.members import Alarm, MemberStatus

MIB = 1 << 20
RULES = Rules(quota=1_000 * MIB, floor=64 * MIB, every_s=3_600, pause_s=30)
LEADER, FOLLOWER, OTHER = 1, 2, 3


def database(member: int, size: int, in_use: int, **more) -> SeenDatabase:
    healthy = more.pop("healthy", True)
    return SeenDatabase(member, f"i{member}", healthy, size * MIB, in_use * MIB, **more)


def seen(*databases: SeenDatabase, alarms=(), compacted=False) -> Observation:
    return Observation(LEADER, databases, tuple(alarms), 77, compacted, RULES)


def status(member: int, size: int, in_use: int, *errors: str) -> MemberStatus:
    return MemberStatus(
        cluster_id=1,
        member_id=member,
        leader_id=LEADER,
        raft_term=2,
        raft_index=10,
        applied_index=10,
        revision=77,
        version="3.4.23",
        db_size=size * MIB,
        db_in_use=in_use * MIB,
        is_learner=False,
        errors=errors,
    )


def test_nothing_is_done_to_small_or_well_used_files():
    assert isinstance(plan(seen(database(LEADER, 63, 1), database(FOLLOWER, 500, 251))), Wait)


def test_files_that_are_mostly_free_are_written_anew_the_leaders_last():
    both = (database(LEADER, 900, 10), database(FOLLOWER, 100, 50))
    assert Defragment("mostly free: i2 holds 50 MiB in a file of 100 MiB", FOLLOWER) == plan(
        seen(*both)
    )
    done = database(FOLLOWER, 50, 50, defragmented_s=29)
    assert isinstance(plan(seen(both[0], done)), Wait)
    step = plan(seen(both[0], replace(done, defragmented_s=30)))
    assert LEADER == step.member_id


def test_a_member_is_not_written_anew_again_and_again():
    again = database(LEADER, 100, 10, defragmented_s=3_599)
    assert isinstance(plan(seen(again)), Wait)
    assert isinstance(plan(seen(replace(again, defragmented_s=3_600))), Defragment)


@pytest.mark.parametrize("alarms", [(), (Alarm(FOLLOWER, "NOSPACE"),)])
def test_nothing_is_done_while_a_member_is_not_well(alarms):
    step = plan(
        seen(database(LEADER, 900, 1), database(OTHER, 900, 1, healthy=False), alarms=alarms)
    )
    assert Wait("not all members are well: i3") == step


def test_a_full_cluster_is_compacted_defragmented_and_disarmed():
    alarm = Alarm(FOLLOWER, "NOSPACE")
    full = (database(LEADER, 1_000, 900), database(FOLLOWER, 1_000, 900))
    assert isinstance(plan(seen(*full, alarms=[alarm])), Compact)
    step = plan(seen(*full, alarms=[alarm], compacted=True))
    assert isinstance(step, Defragment)
    assert FOLLOWER == step.member_id
    cleared = [database(member, 20, 20, cleared=True) for member in (FOLLOWER, LEADER)]
    step = plan(seen(full[0], cleared[0], alarms=[alarm], compacted=True))
    assert LEADER == step.member_id
    step = plan(seen(*cleared, alarms=[alarm], compacted=True))
    assert Disarm("there is room again: i2 holds 20 MiB in a file of 20 MiB", alarm) == step


def test_an_alarm_stays_when_the_data_itself_is_too_large():
    full = database(LEADER, 800, 800, cleared=True)
    step = plan(seen(full, alarms=[Alarm(LEADER, "NOSPACE")], compacted=True))
    assert isinstance(step, Wait)
    assert "Raise store.etcd.quota_backend_bytes" in step.evidence


def test_members_that_differ_are_left_to_an_operator():
    alarms = [Alarm(OTHER, "CORRUPT"), Alarm(OTHER, "NOSPACE")]
    assert isinstance(plan(seen(database(LEADER, 900, 1), alarms=alarms)), Wait)


def test_an_operator_is_warned_well_before_the_quota_and_told_whose_data_is_at_fault():
    errors = ("memberID:2 alarm:NOSPACE ", "memberID:3 alarm:CORRUPT ")
    statuses = {1: status(1, 599, 1, *errors), 2: status(2, 600, 100, *errors)}
    said = warnings(statuses, {1: "a", 2: "b"}, RULES.quota)
    assert [
        "the data of 3 differs from the others', and nothing can be written or read",
        "the database of b has reached its quota, and nothing can be written",
        "the database of b takes 600 MiB of 1000 MiB (store",
    ] == [text.split(".")[0] for text in said]


def test_there_is_nothing_to_say_of_a_healthy_cluster():
    assert () == warnings({1: status(1, 1, 1, "etcdserver: no leader")}, {1: "a"}, RULES.quota)


databases = st.builds(
    database,
    st.integers(1, 5),
    st.integers(0, 1_200),
    st.integers(0, 1_200),
    healthy=st.booleans(),
    defragmented_s=st.none() | st.floats(0, 10_000),
    cleared=st.booleans(),
)


@given(
    st.lists(databases, max_size=5, unique_by=lambda d: d.id),
    st.lists(st.builds(Alarm, st.integers(1, 5), st.sampled_from(["NOSPACE", "CORRUPT"]))),
    st.booleans(),
)
def test_a_member_is_stopped_only_while_all_are_well_and_the_leader_last(found, alarms, compacted):
    observation = seen(*found, alarms=alarms, compacted=compacted)
    match plan(observation):
        case Defragment(member_id=member):
            assert all(d.healthy for d in found)
            if member == LEADER and alarms:
                assert all(d.cleared for d in found if d.id != LEADER)
        case Disarm(alarm=alarm):
            assert "NOSPACE" == alarm.kind
            assert all(d.size < 0.8 * RULES.quota for d in found)
        case Compact(revision=revision):
            assert 77 == revision
            assert alarms
