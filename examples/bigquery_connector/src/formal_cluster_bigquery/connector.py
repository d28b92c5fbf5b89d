"""A BigQuery reverse proxy whose instances apply one another's decisions.

A job's way: statement (`bigquery_request`) → decision (`Cluster`) → upstream (`forwarding`) → entry
in the shared cache (`jobs`). A later request about it, at any instance: entry → upstream → rows
(`results`). What is not served here is refused.

    python -m formal_cluster_bigquery.connector --config FILE --users FILE --upstream URL
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import click
import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from formal_cluster.cluster import Cluster
from formal_cluster.errors import CacheError, FormalClusterError, InputError, StoreError
from formal_cluster.logs import configure_logging
from formal_cluster.model import Decision
from formal_cluster.server.health import describe
from formal_cluster.settings_file import load_settings
from formal_cluster_bigquery import bigquery_request as asked
from formal_cluster_bigquery import results
from formal_cluster_bigquery.bigquery_request import Job
from formal_cluster_bigquery.errors import BigQueryError, error_document
from formal_cluster_bigquery.forwarding import Answer, Parameters, Upstream
from formal_cluster_bigquery.jobs import CODEC, NAMESPACE, JobEntry, Jobs, entry_for

_log = logging.getLogger(__name__)
_PROJECT = "/bigquery/v2/projects/{project}"
_Handler = Callable[[Request], Awaitable[Response]]


def build_app(
    cluster: Cluster,
    upstream: str,
    users: Mapping[str, str],
    *,
    default_location: str = "US",
) -> Starlette:
    """The proxy as an ASGI application; its lifespan starts and stops `cluster`.

    Args:
        upstream: Base URL of BigQuery, for example `https://bigquery.googleapis.com`.
        users: User by bearer token.
        default_location: Where a job is that is asked for without a location.
    """
    # An idle connection is given up before the other side does: a request that is sent on one
    # that is just being closed fails.
    client = httpx.AsyncClient(
        trust_env=False,
        limits=httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=1),
    )
    proxy = _Proxy(cluster, Upstream(upstream, client), users, default_location)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncGenerator[None, None]:
        async with client, cluster:
            yield

    async def ready(_request: Request) -> Response:
        status = cluster.status()
        body = {"ready": cluster.ready, "state": status.state, "reason": status.reason}
        return JSONResponse(body, status_code=200 if cluster.ready else 503)

    async def condition(_request: Request) -> Response:
        return JSONResponse(describe(cluster.status()))

    def route(path: str, handler: _Handler, *methods: str) -> Route:
        return Route(path, _errors_as_bigquery_writes_them(handler), methods=list(methods))

    everything = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    return Starlette(
        routes=[
            Route("/-/ready", ready),
            Route("/-/cluster", condition),
            route(f"{_PROJECT}/jobs", proxy.insert, "POST"),
            route(f"{_PROJECT}/queries", proxy.query, "POST"),
            route(f"{_PROJECT}/queries/{{job}}", proxy.get_results, "GET"),
            route(f"{_PROJECT}/jobs/{{job}}", proxy.get_job, "GET"),
            route(f"{_PROJECT}/jobs/{{job}}/cancel", proxy.cancel, "POST"),
            route("/{path:path}", proxy.refuse, *everything),
        ],
        lifespan=lifespan,
    )


class _Proxy:
    """BigQuery's part of the URL space."""

    def __init__(
        self,
        cluster: Cluster,
        upstream: Upstream,
        users: Mapping[str, str],
        default_location: str,
    ) -> None:
        self._cluster = cluster
        self._upstream = upstream
        self._users = users
        self._default_location = default_location

    async def insert(self, request: Request) -> Response:
        """`jobs.insert`: decide, forward, remember, answer."""
        body = await request.body()
        statement = asked.inserted_statement(
            asked.document_of(body), request.path_params["project"]
        )
        answer, _ = await self._start(request, "jobs.insert", "jobs", statement, body)
        return _response(answer)

    async def query(self, request: Request) -> Response:
        """`jobs.query`: the same; the answer may have rows already."""
        body = await request.body()
        statement = asked.queried_statement(asked.document_of(body))
        answer, entry = await self._start(request, "jobs.query", "queries", statement, body)
        return _response(answer, entry.results)

    async def get_results(self, request: Request) -> Response:
        """`jobs.getQueryResults`: rows, as what was decided for the job lets them be seen."""
        job, entry = await self._recall(request)
        results.check_readable(entry.results)
        partial = results.needs_schema(entry.results)
        params: Parameters = [
            (name, results.with_schema(str(value)) if partial and name == "fields" else value)
            for name, value in _parameters(request)
        ]
        answer = await self._ask_about(request, job, f"queries/{job.id}", params)
        return _response(answer, entry.results)

    async def get_job(self, request: Request) -> Response:
        """`jobs.get`: how the job stands."""
        job, _ = await self._recall(request)
        params = _parameters(request)
        return _response(await self._ask_about(request, job, f"jobs/{job.id}", params))

    async def cancel(self, request: Request) -> Response:
        """`jobs.cancel`."""
        job, _ = await self._recall(request)
        params = _parameters(request)
        return _response(await self._ask_about(request, job, f"jobs/{job.id}/cancel", params))

    async def refuse(self, request: Request) -> Response:
        """Everything else: what it would give away was not decided on."""
        raise BigQueryError(403, f"{request.method} {request.url.path} does not pass here.")

    async def _start(
        self, request: Request, operation: str, resource: str, statement: str, body: bytes
    ) -> tuple[Answer, JobEntry]:
        user = asked.user_of(request.headers.get("authorization"), self._users)
        project = asked.project_of(request.path_params["project"])
        document = asked.policy_input(user, operation, project, statement)
        decision = await self._decide("pre_request", document)
        if not decision.permitted:
            raise BigQueryError(403, "Blocked by Formal policy.")
        reading = (await self._decide("post_request", document)).result
        entry = entry_for(user, statement, decision.id, None if reading is None else dict(reading))

        answer = await self._upstream.call(
            "POST",
            f"{project}/{resource}",
            request.headers,
            _parameters(request),
            body,
        )
        if answer.ok:
            await self._remember(request, answer, project, entry)
        return answer, entry

    async def _remember(
        self, request: Request, answer: Answer, project: str, entry: JobEntry
    ) -> None:
        """Nobody gets to know a job that the other instances do not know."""
        job = asked.referenced_job(answer.document, project)
        if job is None:
            if "pageToken" in answer.document:
                raise BigQueryError(502, "BigQuery's answer has further pages, but names no job.")
            return
        try:
            await self._jobs.remember(job, entry)
        except (CacheError, StoreError) as error:
            _log.warning("a job is not remembered; cancelling it", extra={"error": str(error)})
            await self._ask_about(request, job, f"jobs/{job.id}/cancel", [], "POST")
            raise

    async def _recall(self, request: Request) -> tuple[Job, JobEntry]:
        user = asked.user_of(request.headers.get("authorization"), self._users)
        path = request.path_params
        location = request.query_params.get("location")
        job = asked.named_job(path["project"], path["job"], location, self._default_location)
        return job, await self._jobs.recall(job, user)

    async def _ask_about(
        self,
        request: Request,
        job: Job,
        path: str,
        params: Parameters,
        method: str | None = None,
    ) -> Answer:
        """Ask the upstream about exactly the job that was decided on."""
        named = [(name, value) for name, value in params if name != "location"]
        answer = await self._upstream.call(
            method or request.method,
            f"{job.project}/{path}",
            request.headers,
            [*named, ("location", job.location)],
        )
        named_there = asked.referenced_job(answer.document, job.project)
        if named_there not in {None, job}:
            raise BigQueryError(502, f"BigQuery answered for another job than {job.id}.")
        return answer

    async def _decide(self, stage: str, document: dict[str, Any]) -> Decision:
        try:
            return await self._cluster.decide_as_declared(stage, document)
        except InputError as error:
            raise BigQueryError(400, str(error)) from error

    @property
    def _jobs(self) -> Jobs:
        return Jobs(self._cluster.cache(NAMESPACE, CODEC))


def _parameters(request: Request) -> Parameters:
    return list(request.query_params.multi_items())


def _response(answer: Answer, decision: Mapping[str, Any] | None = None) -> Response:
    document = results.apply(decision, answer.document) if answer.ok else answer.document
    return JSONResponse(document, status_code=answer.status)


def _errors_as_bigquery_writes_them(handler: _Handler) -> _Handler:
    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except BigQueryError as error:
            return JSONResponse(error_document(error), status_code=error.status)
        except (CacheError, StoreError) as error:
            _log.warning("it cannot be told what was decided", extra={"error": str(error)})
            away = BigQueryError(503, "What was decided for the job cannot be told now.")
            return JSONResponse(error_document(away), status_code=away.status)

    return answer


@click.command()
@click.option("--config", type=click.Path(dir_okay=False, path_type=Path), required=True)
@click.option(
    "--users",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help='JSON object: user by bearer token, {"<token>": "<user>"}.',
)
@click.option("--upstream", required=True, help="Base URL of BigQuery.")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=int, default=9050, show_default=True)
@click.option("--default-location", default="US", show_default=True)
def main(
    *, config: Path, users: Path, upstream: str, host: str, port: int, default_location: str
) -> None:
    """Run one connector until SIGTERM or Ctrl-C."""
    try:
        settings = load_settings(config, os.environ)
        configure_logging(settings.log)
        logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs each request
        cluster = Cluster.from_settings(settings)
        app = build_app(
            cluster, upstream, json.loads(users.read_text()), default_location=default_location
        )
    except (FormalClusterError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    uvicorn.run(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=5,
        timeout_keep_alive=75,  # longer than load balancers and clients do
    )


if __name__ == "__main__":
    main()
