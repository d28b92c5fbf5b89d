"""An S3 reverse proxy that asks formal-cluster before it forwards.

One request's way: user and bucket (`s3_request`) → decision (`Cluster`) → upstream (`forwarding`).

    python -m formal_cluster_demo.connector --config FILE --upstream URL --host H --port P
"""

from __future__ import annotations

import contextlib
import logging
import os
import uuid
from collections.abc import AsyncGenerator, Collection
from pathlib import Path

import click
import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from formal_cluster.cluster import Cluster
from formal_cluster.errors import FormalClusterError, InputError
from formal_cluster.logs import configure_logging
from formal_cluster.model import Decision
from formal_cluster.server.health import describe
from formal_cluster.settings_file import load_settings
from formal_cluster_demo import s3_request
from formal_cluster_demo.forwarding import forward
from formal_cluster_demo.s3_request import S3Error

_log = logging.getLogger(__name__)
_FORMAL_MESSAGE = "Blocked by Formal policy."


def build_app(
    cluster: Cluster,
    upstream: str,
    *,
    user_header: str | None = None,
    own_names: Collection[str] = ("localhost",),
) -> Starlette:
    """The proxy as an ASGI application; its lifespan starts and stops `cluster`.

    Args:
        upstream: Base URL of the S3 service, for example `http://127.0.0.1:9000`.
        user_header: Take the user from this header, which only a trusted proxy in front may set,
            and not from the signature.
        own_names: Host names, besides IP addresses, that requests may be sent to.
    """
    # An idle connection is given up before the other side does: a request that is sent on one
    # that is just being closed fails.
    client = httpx.AsyncClient(
        trust_env=False,
        limits=httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=1),
    )

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

    return Starlette(
        routes=[  # "-" is not a valid bucket name, so these hide nothing
            Route("/-/ready", ready),
            Route("/-/cluster", condition),
            Route("/{path:path}", _Proxy(cluster, client, upstream, user_header, own_names)),
        ],
        lifespan=lifespan,
    )


class _Proxy:
    """S3's part of the URL space."""

    def __init__(
        self,
        cluster: Cluster,
        client: httpx.AsyncClient,
        upstream: str,
        user_header: str | None,
        own_names: Collection[str],
    ) -> None:
        self._cluster = cluster
        self._client = client
        self._upstream = upstream
        self._user_header = user_header
        self._own_names = own_names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except S3Error as error:
            response = _error(error, uuid.uuid4().hex)
        except ClientDisconnect:
            return  # in the middle of an upload: nobody is left to answer
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        decision = await self._decide(request)
        if not decision.permitted:
            response = _error(S3Error(403, "AccessDenied", _message(decision)), decision.id)
        else:
            response = await self._forward(request)
        if decision.counters:
            seen = (f"{reading.path}={reading.value}" for reading in decision.counters)
            response.headers["x-formal-counters"] = ", ".join(seen)
        return response

    async def _decide(self, request: Request) -> Decision:
        """The decision that blocks, else the last one: a copy is decided for its source first."""
        headers = request.headers
        s3_request.check_host(headers.get("host", ""), self._own_names)
        target = s3_request.target_of(request.scope["path"])
        if self._user_header is None:
            signed = ",".join(headers.getlist("authorization"))
            user = s3_request.signer(signed, request.url.query)
        else:
            user = s3_request.named_user(headers.get(self._user_header))
        address = request.client.host if request.client else None
        for source in headers.getlist("x-amz-copy-source"):
            copied = s3_request.copied_from(source)
            decision = await self._ask(s3_request.document(user, copied, "GET", address))
            if not decision.permitted:
                return decision
        return await self._ask(s3_request.document(user, target, request.method, address))

    async def _ask(self, document: s3_request.Document) -> Decision:
        try:
            return await self._cluster.decide_as_declared("pre_request", document)
        except InputError as error:
            raise S3Error(400, "InvalidRequest", str(error)) from error

    async def _forward(self, request: Request) -> Response:
        try:
            return await forward(request, self._client, self._upstream)
        except httpx.TransportError as error:
            _log.warning("upstream does not answer", extra={"error": repr(error)})
            message = "The S3 service does not answer. Please try again."
            raise S3Error(503, "ServiceUnavailable", message) from error


def _error(error: S3Error, request_id: str) -> Response:
    return Response(
        s3_request.error_document(error, request_id),
        status_code=error.status,
        headers={"x-amz-request-id": request_id},
        media_type="application/xml",
    )


def _message(decision: Decision) -> str:
    result = decision.result or {}
    custom = result.get("message")
    if result.get("type") == "block_with_custom_message" and isinstance(custom, str):
        return custom
    return _FORMAL_MESSAGE


@click.command()
@click.option("--config", type=click.Path(dir_okay=False, path_type=Path), required=True)
@click.option("--upstream", required=True, help="Base URL of the S3 service.")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=int, default=8080, show_default=True)
@click.option("--user-header", help="Trusted header that carries the user's id.")
@click.option("--own-name", multiple=True, help="Host name that clients use; repeatable.")
def main(
    *,
    config: Path,
    upstream: str,
    host: str,
    port: int,
    user_header: str | None,
    own_name: tuple[str, ...],
) -> None:
    """Run one connector until SIGTERM or Ctrl-C."""
    try:
        settings = load_settings(config, os.environ)
        configure_logging(settings.log)
        logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs each request
        cluster = Cluster.from_settings(settings)
    except FormalClusterError as error:
        raise click.ClickException(str(error)) from error
    uvicorn.run(
        build_app(cluster, upstream, user_header=user_header, own_names=("localhost", *own_name)),
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
