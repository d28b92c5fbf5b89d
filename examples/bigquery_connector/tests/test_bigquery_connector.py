"""One connector between the real client and the stand-in for BigQuery, state in memory."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from google.api_core.exceptions import (
    BadRequest,
    Conflict,
    Forbidden,
    ServiceUnavailable,
)
from google.auth.exceptions import RefreshError
from google.cloud import bigquery

CUSTOMERS = "SELECT name, email FROM customers"
MASKED = [("Ada", None), ("Grace", None)]
PLAIN = [("Ada", "ada@example.com"), ("Grace", "grace@example.com")]
JOBS = "/bigquery/v2/projects/my-project/jobs"


async def call(function: Any, *arguments: Any, **options: Any) -> Any:
    """The client blocks, and the connector runs in this loop."""
    return await asyncio.to_thread(function, *arguments, **options)


def rows(result: Any) -> list[tuple[Any, ...]]:
    return [row.values() for row in result]


async def start(client: Any, statement: str, job_id: str, location: str = "US") -> Any:
    """A job of a name that the client chooses; the client's own retries would change it."""
    return await call(client.query, statement, job_id=job_id, location=location, job_retry=None)


async def insert(client: Any, job_id: str, statement: str = "SELECT n FROM numbers") -> Any:
    """The bare call, without what the client does about an error."""
    data = {
        "jobReference": {"projectId": "my-project", "jobId": job_id},
        "configuration": {"query": {"query": statement, "useLegacySql": False}},
    }
    path = "/projects/my-project/jobs"
    return await call(client._connection.api_request, method="POST", path=path, data=data)


async def read(job: Any, **options: Any) -> list[tuple[Any, ...]]:
    return await call(lambda: rows(job.result(retry=None, **options)))


async def test_results_are_masked_as_the_policy_said_when_the_job_was_started(connector, client):
    url = await connector()
    for user, expected in (("alice", MASKED), ("support", PLAIN)):
        job = await call(client(url, user).query, CUSTOMERS)
        assert expected == await read(job)


async def test_a_job_that_bigquery_names_is_known_like_one_that_the_client_names(connector, client):
    alice = client(await connector())
    answer = await call(alice.query_and_wait, CUSTOMERS, page_size=1)
    assert MASKED == await call(rows, answer)
    job = await call(alice.get_job, answer.job_id, location=answer.location)
    assert MASKED == await read(job)


async def test_all_pages_of_a_long_result_come_through(connector, client):
    alice = client(await connector())
    job = await call(alice.query, "SELECT n FROM numbers")
    assert [str(n) for n in range(250)] == [n for (n,) in await read(job, page_size=60)]


async def test_each_page_is_masked_though_the_client_asks_for_no_schema(connector, client):
    alice = client(await connector())
    job = await call(alice.query, CUSTOMERS)
    assert MASKED == await read(job, page_size=1)


async def test_a_statement_that_is_blocked_does_not_run(connector, client):
    url = await connector()
    with pytest.raises(Forbidden, match="Blocked by Formal policy"):
        await start(client(url), "SELECT * FROM salaries", "blocked")
    with pytest.raises(Forbidden, match="not known"):
        await call(client(url).get_job, "blocked", location="US")
    hr = await call(client(url, "hr").query, "SELECT * FROM salaries")
    assert [("Ada", "100000")] == await read(hr)


async def test_a_job_may_run_whose_results_may_not_be_read(connector, client):
    alice = client(await connector())
    job = await call(alice.query, "SELECT line FROM audit_log")
    assert "DONE" == (await call(alice.get_job, job.job_id, location="US")).state
    with pytest.raises(Forbidden, match="Blocked by Formal policy"):
        await read(job)
    with pytest.raises(Forbidden, match="Blocked by Formal policy"):
        await call(alice.query_and_wait, "SELECT line FROM audit_log")


async def test_a_running_job_can_be_cancelled_by_its_user_and_by_nobody_else(connector, client):
    url = await connector()
    job = await call(client(url).query, "SELECT n FROM numbers -- slow")
    with pytest.raises(Forbidden, match="another user's"):
        await call(client(url, "bob").cancel_job, job.job_id, location="US")
    assert "RUNNING" == (await call(client(url).get_job, job.job_id, location="US")).state
    await call(client(url).cancel_job, job.job_id, location="US")
    stopped = await call(client(url).get_job, job.job_id, location="US")
    assert ("DONE", "stopped") == (stopped.state, stopped.error_result["reason"])


async def test_a_job_that_was_started_elsewhere_is_not_known(connector, client, upstream):
    elsewhere = await call(client(upstream).query, CUSTOMERS)
    alice = client(await connector())
    for method in (alice.get_job, alice.cancel_job):
        with pytest.raises(Forbidden, match="not known to this connector"):
            await call(method, elsewhere.job_id, location="US")


async def test_a_taken_job_id_gives_no_claim_to_the_job_that_has_it(connector, client, upstream):
    await start(client(upstream, "bob"), CUSTOMERS, "bobs")
    alice = client(await connector())
    with pytest.raises(Conflict):
        await insert(alice, "bobs")
    with pytest.raises(Forbidden, match="not known"):
        await call(alice.get_job, "bobs", location="US")


async def test_jobs_of_one_id_in_two_locations_are_two_jobs(connector, client):
    alice = client(await connector())
    us = await start(alice, CUSTOMERS, "same")
    eu = await start(alice, "SELECT n FROM numbers", "same", "EU")
    assert (MASKED, 250) == (await read(us), len(await read(eu)))
    with pytest.raises(Forbidden, match="not known"):
        await call(alice.get_job, "same", location="asia-east1")


async def test_without_a_location_the_default_one_is_asked_for(connector, client):
    alice = client(await connector())
    await start(alice, CUSTOMERS, "here")
    await start(alice, CUSTOMERS, "there", "EU")
    assert "US" == (await call(alice.get_job, "here")).location
    with pytest.raises(Forbidden, match="not known"):
        await call(alice.get_job, "there")


async def test_a_job_that_the_others_would_not_know_is_not_handed_out(connector, client, upstream):
    url = await connector(max_value_bytes=8)  # no entry is as small as that
    with pytest.raises(ServiceUnavailable, match="cannot be told now"):
        await insert(client(url), "lost", "SELECT n FROM numbers -- slow")
    cancelled = await call(client(upstream).get_job, "lost", location="US")
    assert "stopped" == cancelled.error_result["reason"]


async def test_other_kinds_of_jobs_and_other_calls_do_not_pass(connector, client):
    alice = client(await connector())
    table = bigquery.TableReference.from_string("my-project.shop.customers")
    for attempt in (
        lambda: alice.extract_table(table, "gs://bucket/customers.csv"),
        lambda: alice.copy_table(table, "my-project.shop.copy"),
        lambda: list(alice.list_jobs()),
        lambda: list(alice.list_rows(table)),
        lambda: alice.delete_job_metadata("some-job", location="US"),
    ):
        with pytest.raises(Forbidden, match=r"does not pass|Only query jobs pass"):
            await call(attempt)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", JOBS, b"not json", 400),
        ("POST", JOBS, b'{"configuration": {"query": {"query": ""}}}', 400),
        ("POST", JOBS, b'{"configuration": {"query": {"query": "SELECT"}, "copy": {}}}', 403),
        ("POST", JOBS, b'{"jobReference": {"projectId": "other"}}', 400),
        ("GET", f"{JOBS}/a%2Fb", b"", 403),
        ("GET", f"{JOBS}/a.b", b"", 400),
        ("GET", f"{JOBS}/ab?location=..%2F..", b"", 400),
        ("DELETE", f"{JOBS}/ab/delete", b"", 403),
        ("POST", "/upload" + JOBS, b"", 403),
    ],
)
async def test_what_cannot_be_decided_on_is_refused(connector, method, path, body, status):
    url = await connector()
    headers = {"Authorization": "Bearer alice-token"}
    async with httpx.AsyncClient(trust_env=False, headers=headers) as raw:
        answer = await raw.request(method, url + path, content=body)
    assert (status, status) == (answer.status_code, answer.json()["error"]["code"])


async def test_without_a_known_users_token_nothing_passes(connector, client):
    mallory = client(await connector(), "mallory")
    with pytest.raises(RefreshError):  # the client's answer to 401: this token cannot be renewed
        await insert(mallory, "any")
    with pytest.raises(RefreshError):
        await call(mallory.get_job, "any", location="US")


async def test_bigquerys_own_errors_pass_through(connector, client):
    with pytest.raises(BadRequest, match="no such table"):
        await call(client(await connector()).query, "SELECT 1 FROM nowhere")
