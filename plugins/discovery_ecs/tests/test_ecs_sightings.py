"""What many reads together prove."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from formal_cluster.model import Instance, InstanceState
from formal_cluster_discovery_ecs import sightings
from formal_cluster_discovery_ecs.sightings import Read
from formal_cluster_discovery_ecs.tasks import Task

MARGIN = 10.0
DAY = 24 * 3600.0
RUNNING = Task("peer", InstanceState.RUNNING, "10.0.0.2", version=3)
STOPPED = replace(RUNNING, state=InstanceState.STOPPED, version=5)
ME = Instance("me", "10.0.0.1", InstanceState.RUNNING)


def read(*tasks, listed=(), missing=()):
    arns = {"me", *listed, *(task.arn for task in tasks)}
    return Read(frozenset(arns), tasks, frozenset(missing))


class Ecs:
    """Reads one after the other."""

    def __init__(self):
        self.known = {}

    def sees(self, *tasks, at, **others):
        self.last = read(*tasks, **others)
        self.known = sightings.update(self.known, self.last, now=at, margin_s=MARGIN)
        return self

    @property
    def state(self):
        return self.known["peer"].state

    @property
    def view(self):
        return sightings.view(self.known, self.last, ME)[0]


def test_one_read_does_not_prove_a_death():
    assert InstanceState.UNKNOWN is Ecs().sees(STOPPED, at=0).state


def test_two_reads_that_are_too_close_do_not_prove_a_death():
    assert InstanceState.UNKNOWN is Ecs().sees(STOPPED, at=0).sees(STOPPED, at=9.9).state


def test_two_agreeing_reads_a_margin_apart_prove_a_death():
    assert InstanceState.STOPPED is Ecs().sees(STOPPED, at=0).sees(STOPPED, at=10).state


def test_a_read_that_denies_it_starts_the_margin_anew():
    back = replace(RUNNING, version=6)
    ecs = Ecs().sees(STOPPED, at=0).sees(back, at=5)
    assert InstanceState.RUNNING is ecs.state

    ecs.sees(replace(STOPPED, version=7), at=10)

    assert InstanceState.UNKNOWN is ecs.state


def test_an_older_answer_changes_nothing():
    ecs = Ecs().sees(STOPPED, at=0).sees(RUNNING, at=5)
    assert InstanceState.UNKNOWN is ecs.state

    ecs.sees(STOPPED, at=10)

    assert InstanceState.STOPPED is ecs.state


def test_an_older_answer_does_not_count_as_an_agreeing_one():
    older = replace(STOPPED, version=4)

    assert InstanceState.UNKNOWN is Ecs().sees(STOPPED, at=0).sees(older, at=10).state


def test_a_death_outlives_what_ecs_remembers():
    ecs = Ecs().sees(STOPPED, at=0).sees(STOPPED, at=10)

    ecs.sees(at=4_000, missing=["peer"]).sees(at=8_000)

    assert InstanceState.STOPPED is ecs.state


def test_a_task_that_vanished_without_having_stopped_is_unknown_however_long():
    ecs = Ecs().sees(RUNNING, at=0)

    for at in (10, 4_000, 80_000):
        ecs.sees(at=at, missing=["peer"])
        assert InstanceState.UNKNOWN is ecs.state


def test_a_task_that_was_seen_stopped_once_and_then_vanished_is_unknown():
    ecs = Ecs().sees(STOPPED, at=0).sees(at=4_000, missing=["peer"])

    assert InstanceState.UNKNOWN is ecs.state


def test_a_task_that_is_found_again_is_what_it_is():
    ecs = Ecs().sees(RUNNING, at=0).sees(at=10, missing=["peer"]).sees(RUNNING, at=20)

    assert InstanceState.RUNNING is ecs.state


def test_the_address_of_a_task_outlives_its_network_interface():
    ecs = Ecs().sees(RUNNING, at=0).sees(replace(STOPPED, address=None), at=1)

    assert "10.0.0.2" == ecs.view.instances[1].address


def test_a_dead_task_whose_address_was_never_seen_is_shown_as_evidence():
    gone = replace(STOPPED, address=None)
    ecs = Ecs().sees(gone, at=0)
    assert (ME,) == ecs.view.instances

    ecs.sees(gone, at=10)

    assert Instance("peer", "", InstanceState.STOPPED) == ecs.view.instances[1]


def test_a_task_without_an_address_that_is_starting_is_no_instance_yet():
    starting = replace(RUNNING, state=InstanceState.STARTING, address=None)
    ecs = Ecs().sees(starting, at=0)

    assert ((ME,), True) == (ecs.view.instances, ecs.view.complete)


def test_a_task_that_runs_without_an_address_makes_the_view_incomplete():
    ecs = Ecs().sees(replace(RUNNING, address=None), at=0)

    assert ((ME,), False) == (ecs.view.instances, ecs.view.complete)


def test_a_task_that_is_listed_and_not_known_makes_the_view_incomplete():
    ecs = Ecs().sees(at=0, listed=["peer"], missing=["peer"])

    assert ((ME,), False) == (ecs.view.instances, ecs.view.complete)


def test_a_view_of_a_read_that_does_not_list_this_task_is_incomplete():
    view, gaps = sightings.view({}, Read(frozenset(), ()), ME)

    assert ((ME,), False) == (view.instances, view.complete)
    assert ["ECS does not list this task itself (yet)"] == gaps


def test_this_process_runs_whatever_ecs_says():
    stopped = Task("me", InstanceState.STOPPED, "10.9.9.9", created_at=1.0, zone="a")
    ecs = Ecs().sees(stopped, at=0).sees(stopped, at=10)

    expected = (replace(ME, started_at=1.0, zone="a"),)
    assert expected == ecs.view.instances


def test_every_task_is_asked_about_until_it_is_dead():
    ecs = Ecs().sees(RUNNING, at=0)
    assert ["new", "peer"] == sightings.to_describe(ecs.known, ["new"])

    ecs.sees(STOPPED, at=5).sees(STOPPED, at=15)

    assert ["new"] == sightings.to_describe(ecs.known, ["new", "peer"])


def test_what_ecs_no_longer_lists_is_forgotten_after_a_day():
    ecs = Ecs().sees(STOPPED, at=0).sees(STOPPED, at=10)

    assert "peer" in ecs.sees(at=DAY).known
    assert "peer" not in ecs.sees(at=DAY + 10).known


def test_what_ecs_still_lists_is_never_forgotten():
    ecs = Ecs().sees(STOPPED, at=0).sees(STOPPED, at=10)

    ecs.sees(at=2 * DAY, listed=["peer"])

    assert InstanceState.STOPPED is ecs.state


def test_no_more_than_a_thousand_gone_tasks_are_remembered_the_newest():
    ecs = Ecs()
    for number in range(1_100):
        ecs.sees(replace(RUNNING, arn=f"{number:04}"), at=number)

    ecs.sees(at=1_100)

    assert [f"{number:04}" for number in range(100, 1_100)] == sorted(ecs.known)


def test_a_death_is_news_once():
    ecs = Ecs().sees(STOPPED, at=0)
    before = ecs.known
    ecs.sees(STOPPED, at=10)

    assert [STOPPED] == sightings.newly_dead(before, ecs.known)
    assert [] == sightings.newly_dead(ecs.known, ecs.known)


def test_failing_health_checks_are_news_once():
    ecs = Ecs().sees(RUNNING, at=0)
    before = ecs.known
    unhealthy = replace(RUNNING, health="UNHEALTHY", version=4)
    ecs.sees(unhealthy, at=10)

    assert [unhealthy] == sightings.newly_unhealthy(before, ecs.known)
    assert [] == sightings.newly_unhealthy(ecs.known, ecs.known)


# ── for every history ────────────────────────────────────────────────────────────────────────

LIVES = (
    InstanceState.STARTING,
    InstanceState.RUNNING,
    InstanceState.UNKNOWN,
    InstanceState.RUNNING,
)


@st.composite
def histories(draw, *, mortal):
    """Reads of one task's life by copies that lag: (seconds since the last, version or None)."""
    life = [*LIVES, InstanceState.STOPPED] if mortal else LIVES
    steps = draw(
        st.lists(
            st.tuples(
                st.sampled_from([0.0, 1.0, 5.0, 10.0, 600.0]),
                st.one_of(st.none(), st.integers(0, len(life) - 1)),
            ),
            max_size=30,
        )
    )
    at, history = 0.0, []
    for seconds, version in steps:
        at += seconds
        task = None if version is None else replace(RUNNING, state=life[version], version=version)
        history.append((at, task))
    return history


def follow(history):
    """The peer's state after each read; None while it was never seen."""
    ecs = Ecs()
    for at, task in history:
        if task is None:
            ecs.sees(at=at, missing=["peer"])
        else:
            ecs.sees(task, at=at)
        yield ecs.state if "peer" in ecs.known else None


@given(histories(mortal=False))
def test_a_task_that_never_stopped_is_never_dead(history):
    assert InstanceState.STOPPED not in set(follow(history))


@given(histories(mortal=True))
def test_a_death_rests_on_two_reads_a_margin_apart_and_is_final(history):
    said_so = []
    was_dead = False
    for (at, task), state in zip(history, follow(history), strict=True):
        if task is not None and task.state is InstanceState.STOPPED:
            said_so.append(at)
        is_dead = state is InstanceState.STOPPED
        assert is_dead == (
            bool(said_so) and said_so[-1] - said_so[0] >= MARGIN and len(said_so) > 1
        )
        assert is_dead or not was_dead
        was_dead = is_dead
