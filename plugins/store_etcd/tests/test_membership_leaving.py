"""Instances leave, go silent, move and become fewer: what becomes of the members, step by step.

`World` carries out what the planner says, at once and without faults, and notes it: `+d` adds d as
a learner, `^d` promotes it, `-d` removes it, `>d` makes it the leader, `@d` updates its address.
"""

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

RUNNING, STOPPED, UNKNOWN = InstanceState.RUNNING, InstanceState.STOPPED, InstanceState.UNKNOWN
RULES = Rules(
    voters=3,
    replace_silent_after_s=300,
    stalled_learner_s=120,
    shrink_after_s=60,
    leaving_settle_s=1,
    replace_leaver_within_s=10,
)


class World:
    """A cluster led by its first voter. Instances are letters; `c` in zones is c's zone."""

    def __init__(self, voters: str, *, learners="", clients="", cap=3, zones="") -> None:
        self.rules = replace(RULES, voters=cap)
        everyone = voters + learners + clients
        self.states = dict.fromkeys(everyone, RUNNING)
        self.zones = dict(zip(everyone, zones, strict=False))
        self.addresses = {name: f"http://{name}:2380" for name in everyone}
        self.present = set(everyone)
        self.draining: set[str] = set()
        self.leaving_s: dict[str, float] = {}
        self.settled_s = 0.0
        self.evicted: set[str] = set()
        self.add_refused = False
        self.complete = True
        self.members = {name: self._member(name) for name in voters}
        self.members |= {name: self._member(name, is_learner=True) for name in learners}
        self.leader = voters[0]

    def _member(self, name: str, **more) -> SeenMember:
        return SeenMember(
            id=ord(name),
            name=member_name(name, "00000001"),
            peer_urls=(self.addresses[name],),
            is_learner=more.pop("is_learner", False),
            healthy=more.pop("healthy", True),
            index=more.pop("index", 1_000),
            **more,
        )

    def leave(self, names: str, for_s: float = 5.0) -> World:
        self.draining |= set(names)
        self.leaving_s |= dict.fromkeys(names, for_s)
        return self

    def change(self, name: str, /, **more) -> World:
        self.members[name] = replace(self.members[name], **more)
        return self

    def silence(self, name: str, for_s: float, state=RUNNING) -> World:
        self.present.discard(name)
        self.states[name] = state
        return self.change(name, healthy=False, silent_s=for_s)

    def presence(self, name: str) -> Presence:
        return Presence(
            instance=name,
            incarnation="00000001",
            member=member_name(name, "00000001"),
            address=name,
            client_port=2379,
            peer_port=2380,
            peer_url=self.addresses[name],
            zone=self.zones.get(name),
            version="3.4.23",
            draining=name in self.draining,
        )

    @property
    def seen(self) -> Observation:
        instances = sorted(self.states.items())
        return Observation(
            own_instance=self.leader,
            own_member=ord(self.leader),
            members=tuple(self.members.values()),
            presences=tuple(self.presence(name) for name in sorted(self.present)),
            view=View(tuple(Instance(n, n, state) for n, state in instances), self.complete),
            rules=self.rules,
            leaving_s=self.leaving_s,
            settled_s=self.settled_s,
            evicted=frozenset(self.evicted),
            add_refused=self.add_refused,
        )

    @property
    def voters(self) -> str:
        return "".join(sorted(n for n, m in self.members.items() if not m.is_learner))

    @property
    def learners(self) -> str:
        return "".join(sorted(n for n, m in self.members.items() if m.is_learner))

    def step(self) -> str:
        """Carry out one step; empty when there is none to take."""
        step = plan(self.seen)
        match step:
            case Wait():
                return ""
            case AddLearner(instance=name):
                self.members[name] = self._member(name, is_learner=True)
                return f"+{name}"
        name = chr(step.member_id)
        match step:
            case Promote():
                self.change(name, is_learner=False)
                return f"^{name}"
            case Remove():
                del self.members[name]
                return f"-{name}"
            case MoveLeader():
                self.leader = name
                return f">{name}"
            case UpdateAddress(peer_url=url):
                self.change(name, peer_urls=(url,))
                return f"@{name}"

    def settle(self) -> str:
        steps = []
        while step := self.step():
            steps.append(step)
            assert len(steps) < 60, f"it never settles: {steps}"
        return " ".join(steps)

    @property
    def evidence(self) -> str:
        return plan(self.seen).evidence


# ── leaving ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("world", "leaving", "steps"),
    [
        # nobody is there to take its place
        (World("abc"), "b", "-b"),
        (World("abc"), "a", ">b -a"),
        (World("ab"), "b", "-b"),
        (World("ab"), "a", ">b -a"),
        # a client takes it
        (World("abc", clients="d"), "b", "+d ^d -b"),
        (World("abc", clients="d"), "a", ">b +d ^d -a"),
        # the learner that stands by takes it
        (World("a", learners="b"), "a", "^b >b -a"),
        (World("a", learners="b"), "b", "-b"),
        # it has no member
        (World("abc", clients="d"), "d", ""),
        # several at once, never more than one voter too many
        (World("abcde", cap=5), "bc", "-b -c"),
        (World("abc", clients="de"), "bc", "+d ^d -b +e ^e -c"),
        (World("abc", clients="def"), "abc", "+d ^d >d -a +e ^e -b +f ^f -c"),
        # all but one
        (World("abc"), "ab", ">c -a -b"),
        (World("abc", clients="d"), "abc", "+d ^d >d -a -b -c"),
        # all
        (World("abc"), "abc", ""),
        (World("a", learners="b"), "ab", ""),
        (World("a"), "a", ""),
    ],
    ids=lambda value: value if isinstance(value, str) else value.voters,
)
def test_who_leaves_is_replaced_if_another_is_there_and_removed(world, leaving, steps):
    assert steps == world.leave(leaving).settle()


def test_the_leadership_goes_to_the_voter_that_is_furthest():
    world = World("abc").change("b", index=1_200).change("c", index=1_100)
    assert ">b" == world.leave("a").step()


def test_the_leadership_goes_to_no_one_who_is_silent():
    world = World("abc").change("c", healthy=False)
    assert ">b" == world.leave("a").step()


def test_nothing_happens_until_it_is_known_whether_everyone_leaves():
    world = World("abc").leave("ab", for_s=0.9)
    assert "a, b is leaving; waiting whether everyone is" == world.evidence
    world.leave("c", for_s=0.1)
    assert "all instances are leaving" in world.evidence


def test_a_voter_that_leaves_does_not_wait_for_long_for_the_one_that_replaces_it():
    world = World("abc", clients="d").leave("b", for_s=9.9)
    assert "+d" == world.step()
    world.change("d", healthy=False, index=0, name="")
    assert "" == world.step()
    assert "-b" == world.leave("b", for_s=10).step()


def test_who_leaves_is_removed_while_another_voter_is_silent_only_if_a_quorum_is_left():
    assert "" == World("abc").silence("c", 5.0).leave("b").settle()
    assert "-b" == World("abcde", cap=5).silence("c", 5.0).leave("b").settle()


def test_the_last_voter_that_answers_is_never_removed():
    world = World("a", learners="b").change("b", healthy=False)
    assert "" == world.leave("a", for_s=1_000).settle()


def test_who_leaves_is_removed_on_an_incomplete_view_as_it_says_so_itself():
    world = World("abc")
    world.complete = False
    assert "-b" == world.leave("b").settle()


def test_an_instance_that_leaves_is_not_added():
    assert "" == World("ab", clients="c").leave("c").settle()


def test_a_learner_added_for_an_instance_that_then_leaves_is_removed():
    world = World("ab", clients="c")
    assert "+c" == world.step()
    world.change("c", name="", healthy=False, index=0)
    assert "-c" == world.leave("c").settle()


# ── silent, though the platform says that it runs ────────────────────────────────────────────


def test_a_silent_voter_is_replaced_after_minutes_once_another_is_in_sync():
    assert "" == World("abc", clients="d").silence("b", 299.0).settle()
    world = World("abc", clients="d").silence("b", 300.0)
    assert "+d" == world.step()
    world.change("d", index=899)
    assert "" == world.step()
    world.change("d", index=900)
    assert "-b ^d" == world.settle()


def test_a_silent_voter_is_kept_when_there_is_none_to_replace_it():
    assert "" == World("abc").silence("b", 10_000.0).settle()


def test_where_no_learner_is_taken_beside_a_silent_voter_it_is_removed_first():
    world = World("abc", clients="d").silence("b", 300.0)
    world.add_refused = True
    assert "-b +d ^d" == world.settle()


@pytest.mark.parametrize(("state", "complete"), [(UNKNOWN, True), (RUNNING, False)])
def test_a_silent_voter_is_kept_while_nothing_certain_is_known(state, complete):
    world = World("abc", clients="d").silence("b", 10_000.0, state)
    world.complete = complete
    world.add_refused = True
    assert "-b" not in world.settle()
    assert "b" in world.voters


def test_a_silent_voter_is_kept_when_too_few_others_answer():
    world = World("abcde", clients="f", cap=5)
    for name in "bc":
        world.silence(name, 400.0)
    world.silence("d", 5.0)
    assert "" == world.settle()


# ── learners that do not come forward ────────────────────────────────────────────────────────


def test_a_learner_that_does_not_advance_gives_its_place_to_another():
    world = World("a", learners="b", clients="c")
    world.change("b", healthy=False, index=0, stalled_s=120.0)
    step = plan(world.seen)
    assert "b" == step.evicted
    assert "-b" == world.step()
    world.evicted = {"b"}
    assert "+c" == world.step()


def test_a_stalled_learner_stays_while_nobody_else_waits():
    world = World("a", learners="b")
    world.change("b", healthy=False, index=0, stalled_s=10_000.0)
    assert "" == world.settle()


def test_a_learner_that_advances_is_not_evicted_however_far_behind_it_is():
    world = World("a", learners="b", clients="c").change("b", index=1, stalled_s=119.0)
    assert "b-00000001 is not in sync yet" == world.evidence


def test_an_evicted_instance_is_not_added_again_for_a_while():
    world = World("a", clients="b")
    world.evicted = {"b"}
    assert "" == world.settle()


def test_a_learner_not_started_whose_instance_has_stopped_is_removed():
    world = World("ab", learners="c").change("c", name="", healthy=False)
    world.states["c"] = STOPPED
    assert "-c" == world.step()


# ── fewer, more, elsewhere ───────────────────────────────────────────────────────────────────


def test_of_two_voters_left_over_one_becomes_the_learner_that_stands_by():
    world = World("ab")
    world.settled_s = 59.0
    assert "" == world.settle()
    world.settled_s = 60.0
    assert "-b +b" == world.settle()


def test_four_voters_left_of_five_become_three_in_as_many_zones_as_possible():
    world = World("abcd", cap=5, zones="xyyz")
    world.settled_s = 60.0
    assert "-b" == world.settle()
    assert "acd" == world.voters


def test_no_voter_too_many_is_removed_while_another_is_silent():
    world = World("abcd", cap=5).silence("c", 5.0)
    world.settled_s = 600.0
    assert "" == world.settle()


def test_voters_are_not_moved_between_zones():
    world = World("abc", clients="d", zones="xxxy")
    world.settled_s = 600.0
    assert "" == world.settle()


def test_members_without_a_presence_count_as_there_while_they_answer():
    world = World("abc")
    world.present = set()
    world.settled_s = 600.0
    assert "" == world.settle()


@pytest.mark.parametrize(("instances", "cap", "voters"), [(100, 3, 3), (100, 7, 7), (6, 7, 5)])
def test_many_instances_have_few_voters(instances, cap, voters):
    world = World("A", clients="".join(map(chr, range(ord("B"), ord("A") + instances))), cap=cap)
    world.settle()
    assert (voters, 0) == (len(world.voters), len(world.learners))


def test_two_voters_are_two_only_for_as_long_as_the_third_one_takes_to_start():
    world = World("a", learners="b", clients="c").change("b", healthy_s=4.9)
    assert "" == world.step()
    assert "^b +c ^c" == world.change("b", healthy_s=5.0).settle()
    replacing = World("ab", learners="c", clients="d").leave("b").change("c", healthy_s=0.1)
    assert "^c" == replacing.step()


def test_a_voter_that_moved_with_its_data_gets_its_new_address():
    world = World("abc").change("b", healthy=False)
    world.addresses["b"] = "http://elsewhere:2380"
    assert "@b" == world.settle()


def test_a_learner_that_moved_is_added_anew():
    world = World("a", learners="b").change("b", healthy=False)
    world.addresses["b"] = "http://elsewhere:2380"
    assert "-b +b" == world.settle()


def test_an_address_that_is_another_members_is_not_taken_over():
    world = World("abc").change("b", healthy=False)
    world.addresses["b"] = world.addresses["c"]
    assert "" == world.settle()


# ── whatever is seen ─────────────────────────────────────────────────────────────────────────

LETTERS = "abcdef"


@st.composite
def worlds(draw) -> World:
    voters = draw(st.integers(1, 5))
    learners = draw(st.integers(0, 1))
    world = World(
        LETTERS[:voters],
        learners=LETTERS[voters : voters + learners],
        clients=LETTERS[voters + learners :],
        cap=draw(st.sampled_from([3, 5, 7])),
        zones=draw(st.text("xy", min_size=6, max_size=6)),
    )
    for name in LETTERS[1:]:
        world.states[name] = draw(st.sampled_from(InstanceState))
        if draw(st.booleans()):
            world.present.discard(name)
        if name in world.members and draw(st.booleans()):
            world.change(
                name,
                healthy=False,
                index=draw(st.sampled_from([0, 950])),
                silent_s=draw(st.sampled_from([5.0, 400.0])),
                stalled_s=draw(st.sampled_from([5.0, 400.0])),
            )
    world.leave(draw(st.text(LETTERS, max_size=6)), for_s=draw(st.sampled_from([0.5, 5.0, 15.0])))
    world.settled_s = draw(st.sampled_from([0.0, 100.0]))
    world.evicted = set(draw(st.text(LETTERS, max_size=2)))
    world.add_refused = draw(st.booleans())
    world.complete = draw(st.booleans())
    return world


@given(worlds())
def test_no_step_ever_costs_the_healthy_quorum_or_removes_who_may_be_alive(world):
    before, step = dict(world.members), plan(world.seen)
    leaving = world.draining & world.present
    if isinstance(step, Wait):
        return
    world.step()
    voters = [world.members[name] for name in world.voters]
    assert voters
    if not isinstance(step, MoveLeader | UpdateAddress | AddLearner):
        healthy_before = sum(m.healthy for m in before.values() if not m.is_learner)
        had_quorum = healthy_before > sum(not m.is_learner for m in before.values()) / 2
        has_quorum = sum(voter.healthy for voter in voters) > len(voters) / 2
        removed_learner = isinstance(step, Remove) and before[chr(step.member_id)].is_learner
        assert has_quorum or removed_learner or not had_quorum
    match step:
        case Remove(member_id=removed):
            member = before[chr(removed)]
            assert world.leader != chr(removed)
            if chr(removed) not in leaving:
                assert world.complete
            if not member.healthy and chr(removed) not in leaving and not member.is_learner:
                assert world.states[chr(removed)] is STOPPED or (
                    member.silent_s > 300 and world.states[chr(removed)] is not UNKNOWN
                )
        case AddLearner(instance=name):
            assert name not in leaving | world.evicted
            assert 1 == len(world.learners)
        case Promote(member_id=promoted):
            assert chr(promoted) not in leaving
            assert before[chr(promoted)].healthy
            lasting = [n for n in set(world.voters) - leaving if before[n].silent_s < 300]
            assert len(lasting) <= world.rules.voters
        case MoveLeader(member_id=target):
            assert before[chr(target)].healthy
            assert chr(target) not in leaving


@given(worlds())
def test_it_always_settles_and_ends_with_at_most_the_right_number_of_voters_that_stay(world):
    voters_before = len(world.voters)
    world.settle()
    assert len(world.voters) <= max(voters_before, world.rules.voters + len(world.draining))
