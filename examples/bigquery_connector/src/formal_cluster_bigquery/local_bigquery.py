"""A small stand-in for BigQuery: query jobs over a few canned tables, strict about each request.

It knows the five calls that the connector passes on, and refuses any path, parameter or field that
it does not know, so that what passes here is what the client meant. A statement that mentions
`slow` runs until it is cancelled. It verifies no token.

    python -m formal_cluster_bigquery.local_bigquery --port 9060
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import click
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from formal_cluster_bigquery.bigquery_request import document_of
from formal_cluster_bigquery.errors import BigQueryError, error_document

_PROJECT = "/bigquery/v2/projects/{project}"
_TABLES: dict[str, tuple[list[str], list[list[str]]]] = {
    "customers": (
        ["name", "email"],
        [["Ada", "ada@example.com"], ["Grace", "grace@example.com"]],
    ),
    "salaries": (["name", "salary"], [["Ada", "100000"]]),
    "audit_log": (["line"], [["somebody did something"]]),
    "numbers": (["n"], [[str(number)] for number in range(250)]),
}
_FROM = re.compile(r"\bfrom\s+(?:\w+\.)*(\w+)", re.IGNORECASE)
_COMMON = {"prettyPrint", "alt"}
_JOB_FIELDS = {"jobReference", "configuration"}
_QUERY_FIELDS = {
    "formatOptions",
    "jobCreationMode",
    "labels",
    "location",
    "maxResults",
    "query",
    "requestId",
    "timeoutMs",
    "useLegacySql",
    "useQueryCache",
}
_RESULT_PARAMETERS = {
    "fields",
    "formatOptions.useInt64Timestamp",
    "location",
    "maxResults",
    "pageToken",
    "startIndex",
    "timeoutMs",
}


@dataclass
class _Job:
    project: str
    location: str
    id: str
    statement: str
    columns: list[str]
    rows: list[list[str]]
    state: str = "DONE"
    error: dict[str, str] | None = None

    @property
    def reference(self) -> dict[str, str]:
        return {"projectId": self.project, "jobId": self.id, "location": self.location}

    @property
    def resource(self) -> dict[str, Any]:
        status: dict[str, Any] = {"state": self.state}
        if self.error is not None:
            status |= {"errorResult": self.error, "errors": [self.error]}
        return {
            "kind": "bigquery#job",
            "id": f"{self.project}:{self.location}.{self.id}",
            "jobReference": self.reference,
            "configuration": {
                "jobType": "QUERY",
                "query": {"query": self.statement, "useLegacySql": False},
            },
            "status": status,
            "statistics": {"creationTime": "0", "query": {"statementType": "SELECT"}},
        }


@dataclass
class LocalBigQuery:
    """The jobs of one process."""

    _jobs: dict[tuple[str, str, str], _Job] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def app(self) -> Starlette:
        """The server as an ASGI application."""
        return Starlette(
            routes=[
                Route(f"{_PROJECT}/jobs", self._insert, methods=["POST"]),
                Route(f"{_PROJECT}/queries", self._query, methods=["POST"]),
                Route(f"{_PROJECT}/queries/{{job}}", self._results, methods=["GET"]),
                Route(f"{_PROJECT}/jobs/{{job}}", self._get, methods=["GET"]),
                Route(f"{_PROJECT}/jobs/{{job}}/cancel", self._cancel, methods=["POST"]),
            ],
            exception_handlers={BigQueryError: _answer_error},
        )

    async def _insert(self, request: Request) -> Response:
        _check(request.query_params, _COMMON)
        body = document_of(await request.body())
        _check(body, _JOB_FIELDS)
        _check(body.get("configuration", {}), {"query", "labels"})
        reference = body.get("jobReference", {})
        _check(reference, {"projectId", "jobId", "location"})
        job = self._run(
            request.path_params["project"],
            reference.get("location"),
            reference.get("jobId"),
            body["configuration"]["query"]["query"],
        )
        return JSONResponse(job.resource)

    async def _query(self, request: Request) -> Response:
        _check(request.query_params, _COMMON)
        body = document_of(await request.body())
        _check(body, _QUERY_FIELDS)
        job = self._run(request.path_params["project"], body.get("location"), None, body["query"])
        return JSONResponse(_results(job, 0, body.get("maxResults", 100)))

    async def _results(self, request: Request) -> Response:
        parameters = request.query_params
        _check(parameters, _COMMON | _RESULT_PARAMETERS)
        job = self._find(request)
        start = int(parameters.get("pageToken") or parameters.get("startIndex") or 0)
        answer = _results(job, start, int(parameters.get("maxResults", 100)))
        return _partial(request, answer)

    async def _get(self, request: Request) -> Response:
        _check(request.query_params, _COMMON | {"fields", "location", "projection"})
        return _partial(request, self._find(request).resource)

    async def _cancel(self, request: Request) -> Response:
        _check(request.query_params, _COMMON | {"location", "projection"})
        job = self._find(request)
        if job.state == "RUNNING":
            job.state = "DONE"
            job.error = {"reason": "stopped", "message": "Job execution was cancelled"}
        return JSONResponse({"kind": "bigquery#jobCancelResponse", "job": job.resource})

    def _run(self, project: str, location: str | None, job_id: str | None, statement: str) -> _Job:
        job_id = job_id or f"job_{next(self._numbers)}"
        key = (project, (location or "US").upper(), job_id)
        if key in self._jobs:
            raise BigQueryError(409, f"Already Exists: Job {project}:{key[1]}.{job_id}")
        table = _FROM.search(statement)
        if table is None or table[1] not in _TABLES:
            raise BigQueryError(400, f"There is no such table here: {statement}")
        columns, rows = _TABLES[table[1]]
        state = "RUNNING" if "slow" in statement else "DONE"
        job = _Job(*key, statement, columns, rows, state)
        self._jobs[key] = job
        return job

    def _find(self, request: Request) -> _Job:
        path = request.path_params
        location = request.query_params.get("location", "US").upper()
        try:
            return self._jobs[path["project"], location, path["job"]]
        except KeyError:
            raise BigQueryError(404, f"Not found: Job {path['job']} in {location}") from None


def _results(job: _Job, start: int, most: int) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "kind": "bigquery#getQueryResultsResponse",
        "jobReference": job.reference,
        "jobComplete": job.state == "DONE",
    }
    if job.error is not None:
        raise BigQueryError(400, job.error["message"])
    if job.state != "DONE":
        return answer
    page = job.rows[start : start + most]
    answer |= {
        "schema": {"fields": [{"name": name, "type": "STRING"} for name in job.columns]},
        "totalRows": str(len(job.rows)),
    }
    if most:
        answer["rows"] = [{"f": [{"v": value} for value in row]} for row in page]
        if start + most < len(job.rows):
            answer["pageToken"] = str(start + most)
    return answer


def _partial(request: Request, answer: dict[str, Any]) -> Response:
    wanted = request.query_params.get("fields")
    if wanted is not None:
        answer = {name: answer[name] for name in wanted.split(",") if name in answer}
    return JSONResponse(answer)


def _check(given: Collection[str], known: Collection[str]) -> None:
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise BigQueryError(400, f"Unknown name: {', '.join(unknown)}")


async def _answer_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, BigQueryError)
    return JSONResponse(error_document(error), status_code=error.status)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=int, default=9060, show_default=True)
def main(*, host: str, port: int) -> None:
    """Run the stand-in until SIGTERM or Ctrl-C."""
    uvicorn.run(
        LocalBigQuery().app(), host=host, port=port, log_level="warning", timeout_keep_alive=75
    )


if __name__ == "__main__":
    main()
