"""The decision journal: what is logged, and what is kept of it."""

from __future__ import annotations

import logging

from formal_cluster.protocols import JournalEntry
from formal_cluster_store_etcd.journal import Book, Journal
from formal_cluster_store_etcd.planning.changes import AddLearner, Wait

LOGGER = logging.getLogger("test")
ADD = AddLearner("b is present", "b", "url")


def journal(book: Book) -> Journal:
    return Journal(LOGGER, "membership", book)


def book() -> Book:
    return Book(clock=lambda: 1_700_000_000.0)


def entry(step: str, evidence: str, outcome: str = "decided") -> JournalEntry:
    return JournalEntry(1_700_000_000.0, "membership", step, evidence, outcome)


def test_a_decision_is_logged_once_with_its_evidence(caplog):
    written = journal(book())
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            written.write(Wait("nothing to do"), "nothing to do")
            written.write(ADD, ADD.evidence)
            written.write(ADD, ADD.evidence)
    assert [("membership", "AddLearner", "b is present")] * 2 == [
        (record.planner, record.step, record.evidence) for record in caplog.records
    ]


def test_it_says_what_became_of_each_decision():
    kept = book()
    written = journal(kept)
    written.write(ADD, ADD.evidence)
    written.refused("unhealthy cluster")
    written.write(Wait("b was added"), "b was added")
    written.write(ADD, ADD.evidence)
    written.done()
    assert (
        entry("AddLearner", "b is present", "not carried out: unhealthy cluster"),
        entry("Wait", "b was added"),
        entry("AddLearner", "b is present", "done"),
    ) == kept.entries


def test_of_reasons_to_wait_only_the_last_one_is_kept():
    kept = book()
    written = journal(kept)
    for left in range(9, 0, -1):
        written.write(Wait(f"{left} s left"), f"{left} s left")
    assert (entry("Wait", "1 s left"),) == kept.entries


def test_the_last_two_hundred_are_kept_of_all_planners_together():
    kept = book()
    one, two = journal(kept), Journal(LOGGER, "formation", kept)
    for number in range(150):
        one.write(ADD, f"{number}")
        two.write(ADD, f"{number}")
    assert 200 == len(kept.entries)
    assert ("membership", "50") == (kept.entries[0].planner, kept.entries[0].evidence)
    assert ("formation", "149") == (kept.entries[-1].planner, kept.entries[-1].evidence)


def test_the_outcome_of_a_decision_that_is_no_longer_kept_is_let_go():
    kept = book()
    one, two = journal(kept), Journal(LOGGER, "formation", kept)
    one.write(ADD, "long ago")
    for number in range(200):
        two.write(ADD, f"{number}")
    one.done()
    assert {"formation"} == {kept_entry.planner for kept_entry in kept.entries}
