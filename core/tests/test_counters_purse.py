"""Reserved hits of one subject against a naive log that knows every access exactly."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formal_cluster.counters.fold import Record, State
from formal_cluster.counters.purse import Block, Purse, block_size, hits_left, life_ms
from formal_cluster.counters.records import Batch, decode, encode
from formal_cluster.model import Count, CounterKey, CounterRead, Window

KEY = CounterKey("access_count", ("alice", "b"))
SECOND = Window.parse("last_second")
LIFE = 16


def read(*thresholds, windows=(SECOND,), block=64):
    return CounterRead(KEY, windows, False, thresholds, block)


@pytest.mark.parametrize(
    ("thresholds", "counts", "left"),
    [
        ([(5,)], [0], 5),
        ([(5,)], [5], 0),
        ([(5,)], [9], 0),
        ([(5, 100)], [5], 0),
        ([(5, 100)], [6], 94),
        ([None], [0], 0),
        ([(5,), (100,)], [2, 99], 1),
        ([(5,), None], [0, 0], 0),
        ([(), (7,)], [50, 3], 4),
        ([], [0], 0),
    ],
)
def test_what_is_left_is_what_no_policy_can_notice(thresholds, counts, left):
    windows = tuple(Window(f"w{n}", 1_000) for n in range(len(counts)))

    assert left == hits_left(read(*thresholds, windows=windows), [Count(n) for n in counts])


def test_blocks_grow_with_the_demand_and_shrink_towards_the_limit():
    def size(**changes):
        usual = {"waiting": 0, "demand": 40, "left": 400, "most": 64, "writers": 2}
        return block_size(**{**usual, **changes})

    assert 40 == size()
    assert 64 == size(demand=1_000)
    assert 2 == size(left=8)
    assert 0 == size(left=3)
    assert 7 == size(left=0, waiting=7)
    assert 50 == size(waiting=50)


def test_tokens_live_for_a_sixtieth_of_the_shortest_window_and_not_too_long():
    assert 16 == life_ms(read(windows=(SECOND, Window.parse("last_day"))), 500)
    assert 500 == life_ms(read(windows=(Window.parse("last_day"),)), 500)


def test_each_token_sees_those_taken_before_it_and_one_that_comes_back_is_for_the_next():
    block = Block([Count(3)], size=3, kept=3, date=100, use_by=100, revision=7)

    assert [[Count(3)], [Count(4)]] == [block.take(), block.take()]
    block.taken -= 1
    assert [Count(4)] == block.take()


def test_tokens_that_cannot_permit_anything_are_given_up():
    block = Block([Count(3)], size=9, kept=2, date=100, use_by=100, revision=7)
    for _ in range(4):
        block.take()

    assert 5 == block.release()
    block.taken -= 4
    assert 2 == block.release()
    block.closed = True
    assert 2 == block.release()


@pytest.mark.parametrize(("log_now", "now"), [(101, 0), (0, 201)])
def test_a_token_is_void_after_its_date_and_after_its_life_on_this_machine(log_now, now):
    purse = Purse(read((5,)), life=LIFE)
    block = Block([Count(0)], size=2, kept=2, date=100, use_by=200, revision=7)
    purse.add(block)

    assert purse.find(100, 200) is block
    assert None is purse.find(log_now, now)
    assert [block] == purse.close_expired(log_now, now)


def test_demand_is_forgotten_when_there_is_none():
    purse = Purse(read((5,)), life=LIFE)
    for now in (1_000, 1_001, 1_017):
        purse.note_demand(now)

    assert 3 == purse.demand(1_020)
    assert 1 == purse.demand(1_040)
    assert 0 == purse.demand(1_100)


class Instance:
    """An instance that decides by tokens, with its own view of the time."""

    def __init__(self, lag):
        self.lag = lag
        self.purse = Purse(read((None,)), life=LIFE)
        self.refunds = []

    def close_expired(self, now):
        for block in self.purse.close_expired(now, now):
            hits = block.release()
            if hits:
                self.refunds.append((0, hits, block.date))


class World:
    """The log, folded for real, and every admitted access with the time it was admitted at."""

    def __init__(self, limit, lags):
        self.limit = limit
        self.time = 10_000
        self.state = State(exact_entries=4, max_subjects=10)
        self.instances = [Instance(lag) for lag in lags]
        self.seqs = [0] * len(lags)
        self.admitted = []

    def append(self, index, **content):
        """One record of an instance, after its refunds; the count before it in the log."""
        instance = self.instances[index]
        if instance.refunds:
            self._apply(index, refunds=instance.refunds)
            instance.refunds = []
        log_time = max(self.state.log_time, self.time - instance.lag)
        hits = self.state.find(KEY)
        before = 0 if hits is None else hits.count(log_time - SECOND.length_ms)
        self._apply(index, **content)
        assert log_time == self.state.log_time
        return before

    def _apply(self, index, **content):
        self.seqs[index] += 1
        batch = Batch(
            epoch=1,
            seq=self.seqs[index],
            proposed=self.time - self.instances[index].lag,
            wall=0,
            windows=[(KEY.counter, SECOND.length_ms)],
            keys=[KEY],
            **content,
        )
        self.state.apply(Record(f"i{index}", decode(encode(batch)), self.state.revision + 1))

    def reserve(self, index, size):
        before = self.append(index, blocks=[(0, size, LIFE)])
        date = self.state.dated(LIFE)
        kept = max(0, min(size, self.limit - before))
        block = Block([Count(before)], size=size, kept=kept, date=date, use_by=1 << 62, revision=1)
        self.instances[index].purse.add(block)

    def strict(self, index):
        before = self.append(index, strict=[[0]])
        if before + 1 <= self.limit:
            self.admitted.append(self.state.log_time)
        else:
            self.instances[index].refunds.append((0, 1, self.state.stamp))

    def spend(self, index):
        instance = self.instances[index]
        now = max(self.state.log_time, self.time - instance.lag)
        block = instance.purse.find(now, now)
        if block is None:
            return
        (count,) = block.take()
        if count.value + 1 <= self.limit:
            self.admitted.append(now)
            return
        block.taken -= 1
        hits = block.release()
        if hits:
            instance.refunds.append((0, hits, block.date))

    def most_in_any_window(self):
        return max(
            (
                sum(at - SECOND.length_ms < other <= at for other in self.admitted)
                for at in self.admitted
            ),
            default=0,
        )


steps = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.sampled_from([1, LIFE - 1, LIFE, LIFE + 1, 300, 990, 1_000])),
        st.tuples(st.just("reserve"), st.integers(0, 2), st.integers(1, 6)),
        st.tuples(st.just("spend"), st.integers(0, 2)),
        st.tuples(st.just("strict"), st.integers(0, 2)),
        st.tuples(st.just("sweep"), st.integers(0, 2)),
    ),
    max_size=60,
)


@settings(max_examples=500, deadline=None)
@given(limit=st.integers(1, 8), lags=st.tuples(*[st.integers(0, 5)] * 3), steps=steps)
def test_no_window_ever_holds_more_admitted_accesses_than_the_limit(limit, lags, steps):
    world = World(limit, lags)
    for action, *args in steps:
        if action == "wait":
            world.time += args[0]
        elif action == "sweep":
            world.instances[args[0]].close_expired(world.time)
        else:
            getattr(world, action)(*args)

    assert world.most_in_any_window() <= limit


def test_the_date_ahead_is_what_keeps_the_limit_when_tokens_are_spent_late():
    world = World(3, (0, 0, 0))
    world.reserve(0, 3)
    world.time += LIFE
    for _ in range(3):
        world.spend(0)
    # A second after the record, not yet a second after the accesses.
    world.time = 10_000 + SECOND.length_ms
    for _ in range(3):
        world.strict(1)

    assert 3 == len(world.admitted)


def test_a_batch_without_blocks_can_be_read_by_instances_that_know_of_none():
    plain = Batch(epoch=1, seq=1, proposed=0, wall=0, keys=[KEY])
    with_blocks = Batch(epoch=1, seq=1, proposed=0, wall=0, keys=[KEY], blocks=[(0, 1, 1)])

    assert [2, 3] == [decode(encode(batch)).version for batch in (plain, with_blocks)]
