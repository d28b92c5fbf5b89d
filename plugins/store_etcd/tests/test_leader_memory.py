"""What the leader remembers from one look to the next."""

from __future__ import annotations

from formal_cluster_store_etcd.peers.cluster_watch import Members
from formal_cluster_store_etcd.peers.leader_memory import LeaderMemory
from formal_cluster_store_etcd.planning.members import ClusterMember, MemberStatus
from formal_cluster_store_etcd.planning.presence import Presence


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


VOTER = ClusterMember(1, "a-00000001", ("http://a:2380",), ("http://a:2379",), is_learner=False)
LEARNER = ClusterMember(2, "b-00000001", ("http://b:2380",), ("http://b:2379",), is_learner=True)


def status(member: int, index: int) -> MemberStatus:
    return MemberStatus(
        cluster_id=1,
        member_id=member,
        leader_id=1,
        raft_term=2,
        raft_index=index,
        applied_index=index,
        revision=index,
        version="3.4.23",
        db_size=0,
        db_in_use=0,
        is_learner=False,
        errors=(),
    )


def look(*statuses: MemberStatus) -> Members:
    return Members(
        members=(VOTER, LEARNER),
        healthy=frozenset(s.member_id for s in statuses),
        leader=1,
        statuses={s.member_id: s for s in statuses},
    )


def presence(instance: str, *, draining: bool = False) -> Presence:
    return Presence(
        instance=instance,
        incarnation="00000001",
        member=f"{instance}-00000001",
        address=instance,
        client_port=2379,
        peer_port=2380,
        peer_url=f"http://{instance}:2380",
        version="3.4.23",
        draining=draining,
    )


def test_it_measures_how_long_a_member_has_been_silent():
    clock = Clock()
    memory = LeaderMemory(clock)
    memory.assess([VOTER], look())
    clock.now += 7
    (voter,) = memory.assess([VOTER], look())
    assert (False, 7.0) == (voter.healthy, voter.silent_s)
    memory.assess([VOTER], look(status(1, 100)))
    clock.now += 7
    (voter,) = memory.assess([VOTER], look(status(1, 100)))
    assert (7.0, 0.0) == (voter.healthy_s, voter.silent_s)
    (voter,) = memory.assess([VOTER], look())
    assert 0.0 == voter.silent_s


def test_a_learner_is_stalled_from_its_last_advance_on():
    clock = Clock()
    memory = LeaderMemory(clock)
    for index in (10, 20, 20):
        _, learner = memory.assess([VOTER, LEARNER], look(status(1, 1_000), status(2, index)))
        clock.now += 5
    assert (20, 5.0) == (learner.index, learner.stalled_s)


def test_a_learner_in_sync_is_not_stalled_however_long_nothing_happens():
    clock = Clock()
    memory = LeaderMemory(clock)
    for _ in range(3):
        _, learner = memory.assess([VOTER, LEARNER], look(status(1, 1_000), status(2, 900)))
        clock.now += 500
    assert 0.0 == learner.stalled_s


def test_it_measures_how_long_instances_have_been_leaving_and_how_long_all_has_been_the_same():
    clock = Clock()
    memory = LeaderMemory(clock)
    both = [presence("a"), presence("b")]
    assert ({}, 0.0) == (memory.leaving_s(both), memory.settled_s(both))
    clock.now += 5
    assert 5.0 == memory.settled_s(both)
    leaving = [presence("a"), presence("b", draining=True)]
    assert ({"b": 0.0}, 0.0) == (memory.leaving_s(leaving), memory.settled_s(leaving))
    clock.now += 2
    assert ({"b": 2.0}, 2.0) == (memory.leaving_s(leaving), memory.settled_s(leaving))


def test_an_evicted_instance_is_left_alone_each_time_for_longer():
    clock = Clock()
    memory = LeaderMemory(clock)
    memory.evict("b")
    assert {"b"} == memory.evicted
    clock.now += 300
    assert set() == memory.evicted
    memory.evict("b")
    clock.now += 599
    assert {"b"} == memory.evicted
    clock.now += 1
    assert set() == memory.evicted
