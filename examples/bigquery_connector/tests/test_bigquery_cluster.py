"""Three real connectors, each with its own etcd: what one decided, the others apply."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from google.api_core.exceptions import (
    Conflict,
    Forbidden,
    GoogleAPICallError,
    ServiceUnavailable,
)

from formal_cluster_bigquery.site import Site

pytestmark = [pytest.mark.etcd, pytest.mark.slow, pytest.mark.timeout(900)]

CUSTOMERS = "SELECT name, email FROM customers"
MASKED = [("Ada", None), ("Grace", None)]
MUTANT = Path(__file__).with_name("connector_without_shared_cache.py")


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with tempfile.TemporaryDirectory() as home, Site(Path(home)) as site:
        yield site


@pytest.fixture(scope="module")
def mutants() -> Iterator[Site]:
    with tempfile.TemporaryDirectory() as home, Site(Path(home), [str(MUTANT)], voters=0) as site:
        yield site


def patiently(call: Callable[[], Any]) -> Any:
    """What the call gives once the store is there: on a busy machine it elects again at any time.

    A connector says so at once, with status 503, and every client of BigQuery repeats its call.
    """
    deadline = time.monotonic() + 100
    while True:
        try:
            return call()
        except ServiceUnavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def started(client: Any, name: str, statement: str) -> str:
    """The id of a job that was started. One of which that is not known is not tried again."""
    numbers = itertools.count()

    def start() -> str:
        job_id = f"{name}-{next(numbers)}"
        insert(client, job_id, statement)
        return job_id

    return patiently(start)


def insert(client: Any, job_id: str, statement: str) -> Any:
    """The bare call, without what the client does about an error."""
    data = {
        "jobReference": {"projectId": "my-project", "jobId": job_id, "location": "EU"},
        "configuration": {"query": {"query": statement, "useLegacySql": False}},
    }
    return client._connection.api_request(
        method="POST", path="/projects/my-project/jobs", data=data
    )


def read(client: Any, job_id: str, **options: Any) -> list[tuple[Any, ...]]:
    def rows() -> list[tuple[Any, ...]]:
        job = client.get_job(job_id, location="EU", retry=None)
        return [row.values() for row in job.result(retry=None, **options)]

    return patiently(rows)


def until_the_others_go_on(site: Site) -> None:
    """Who was killed may have been the leader of the store."""
    deadline = time.monotonic() + 150
    for connector in site.connectors[1:]:
        while True:
            state = connector.state()
            alive = [member["healthy"] for member in state.get("members", [])].count(True)
            if (state.get("state"), alive) == ("clustered", 2):
                break
            assert time.monotonic() < deadline, state
            time.sleep(0.1)


def start_on_one_kill_it_and_read_from_the_others(
    site: Site, client: Callable[..., Any], *, clustered: bool = True
) -> dict[str, Any]:
    """What is seen of jobs that the first connector started before it was killed."""
    first, second, third = site.connectors
    alice = client(first.url)
    chosen = started(alice, "chosen", CUSTOMERS)
    running = started(alice, "running", "SELECT n FROM numbers -- slow")
    named = alice.query_and_wait("SELECT n FROM numbers", page_size=5, location="EU").job_id
    first.kill()
    if clustered:
        until_the_others_go_on(site)
    seen = {
        "results": read(client(second.url), chosen),
        "pages": read(client(third.url), chosen, page_size=1),
        "named by the server": len(read(client(third.url), named, page_size=100)),
    }
    patiently(lambda: client(second.url).cancel_job(running, location="EU", retry=None))
    stopped = patiently(lambda: client(third.url).get_job(running, location="EU", retry=None))
    return {**seen, "cancelled": stopped.error_result["reason"]}


def test_a_race_of_two_instances_for_one_job_id_has_one_winner_whom_all_know(site, client):
    statements = {"alice": CUSTOMERS, "support": "SELECT n FROM numbers"}

    def attempt(job_id: str, user: str, url: str) -> str | None:
        try:
            insert(client(url, user), job_id, statements[user])
        except Conflict:
            return None
        return user

    contenders = list(zip(statements, site.connectors, strict=False))
    with ThreadPoolExecutor() as pool:
        numbers = itertools.count()

        def race() -> tuple[str, str]:
            job_id = f"race-{next(numbers)}"
            tries = [pool.submit(attempt, job_id, user, each.url) for user, each in contenders]
            (winner,) = {each.result() for each in tries} - {None}
            return job_id, winner

        for _ in range(8):
            job_id, winner = patiently(race)
            (loser,) = set(statements) - {winner}
            for connector in site.connectors:
                assert read(client(connector.url, winner), job_id)
                with pytest.raises(Forbidden, match="another user's"):
                    read(client(connector.url, loser), job_id)


def test_an_entry_is_found_at_once_by_an_instance_that_has_not_heard_of_it(site, client):
    first, second, _ = site.connectors
    for number in range(20):
        job_id = started(client(first.url), f"at-once-{number}", CUSTOMERS)
        assert MASKED == read(client(second.url), job_id)


def test_a_job_that_no_instance_has_started_is_refused_by_all(site, client):
    insert(client(site.upstream), "elsewhere", CUSTOMERS)
    for connector in site.connectors:
        with pytest.raises(Forbidden, match="not known to this connector"):
            read(client(connector.url), "elsewhere")


def test_what_was_decided_outlives_the_instance_that_decided_it(site, client):
    assert {
        "results": MASKED,
        "pages": MASKED,
        "named by the server": 250,
        "cancelled": "stopped",
    } == start_on_one_kill_it_and_read_from_the_others(site, client)


def test_the_same_fails_without_the_shared_cache(mutants, client):
    with pytest.raises(GoogleAPICallError) as failed:
        start_on_one_kill_it_and_read_from_the_others(mutants, client, clustered=False)
    assert 403 == failed.value.code
    assert "not known to this connector" in failed.value.message
