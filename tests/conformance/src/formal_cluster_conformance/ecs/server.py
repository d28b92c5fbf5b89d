"""The HTTP server: validates, records, misbehaves on request, and answers."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NamedTuple, Self

from aiohttp import web

from formal_cluster_conformance.ecs.actions import Actions, ApiError
from formal_cluster_conformance.ecs.service_model import (
    CONTENT_TYPE,
    ProtocolViolation,
    ServiceModel,
)
from formal_cluster_conformance.ecs.world import EcsWorld
from formal_cluster_conformance.listener import serving

_SIGNATURE = re.compile(
    r"AWS4-HMAC-SHA256 Credential=\w+/\d{8}/(?P<region>[\w-]+)/ecs/aws4_request, "
    r"SignedHeaders=[\w;-]+, Signature=[0-9a-f]{64}"
)


class Call(NamedTuple):
    """One request that was understood, whatever became of it."""

    action: str
    parameters: dict[str, Any]


@dataclass(slots=True)
class _Fault:
    """What happens instead of an answer. `error` None: nothing, the request hangs."""

    error: ApiError | None
    action: str | None
    times: int | None

    def applies(self, action: str) -> bool:
        return self.action in {None, action} and self.times != 0

    def use_up(self) -> None:
        if self.times is not None:
            self.times -= 1


class EcsServer:
    """ECS for one world, on a free port of `host`.

    Attributes:
        url: Where it listens, once entered.
        calls: Every request, in order of arrival. Retries are requests of their own.
    """

    def __init__(self, world: EcsWorld, host: str = "127.0.0.1") -> None:
        self.world = world
        self._host = host
        self.url = ""
        self.calls: list[Call] = []
        self._violations: list[str] = []
        self._faults: list[_Fault] = []
        self._stale: EcsWorld | None = None
        self._healed = asyncio.Event()
        self._arrival = asyncio.Condition()
        self._model = ServiceModel()
        self._actions = Actions()

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/", self._serve)
        self._serving = serving(app, self._host)
        self.url = await self._serving.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        await self._serving.__aexit__(None, None, None)
        if self._violations and kind is None:
            raise ProtocolViolation("\n".join(self._violations))

    @property
    def actions(self) -> list[str]:
        """The actions of `calls`."""
        return [call.action for call in self.calls]

    async def received(self, count: int) -> None:
        """Wait until this many calls have arrived in all."""
        async with self._arrival:
            await self._arrival.wait_for(lambda: len(self.calls) >= count)

    def take_violations(self) -> Sequence[str]:
        """The breaches of the protocol so far; those taken do not fail the `async with`."""
        taken, self._violations = self._violations, []
        return taken

    # ── misbehaviour ─────────────────────────────────────────────────────────────────────────

    def refuse(
        self,
        code: str,
        message: str,
        *,
        status: int = 400,
        action: str | None = None,
        times: int | None = None,
    ) -> None:
        """Answer the next `times` calls (of one action) with an error; None: until `heal`."""
        self._faults.append(_Fault(ApiError(code, message, status=status), action, times))

    def throttle(self, *, action: str | None = None, times: int | None = None) -> None:
        """ThrottlingException."""
        self.refuse("ThrottlingException", "Rate exceeded", action=action, times=times)

    def break_down(self, *, action: str | None = None, times: int | None = None) -> None:
        """HTTP status 500."""
        self.refuse(
            "ServerException", "Service Unavailable.", status=500, action=action, times=times
        )

    def deny(self, action: str) -> None:
        """AccessDeniedException, worded as IAM does."""
        kind = "container-instance" if action == "ListTasks" else "task"
        resource = self.world.arn(kind, self.world.cluster, "*")
        role = f"arn:aws:sts::{self.world.account}:assumed-role/connector-task/0123456789abcdef"
        self.refuse(
            "AccessDeniedException",
            f"User: {role} is not authorized to perform: ecs:{action} on resource: {resource} "
            f"because no identity-based policy allows the ecs:{action} action",
            action=action,
        )

    def hang(self, *, action: str | None = None, times: int | None = None) -> None:
        """Accept the request and never answer."""
        self._faults.append(_Fault(None, action, times))

    def serve_stale(self, world: EcsWorld) -> None:
        """Answer from an earlier `snapshot` of the world, as a lagging copy of ECS does."""
        self._stale = world

    def heal(self) -> None:
        """End all misbehaviour; requests that hang are answered with status 500."""
        self._faults.clear()
        self._stale = None
        self._healed.set()
        self._healed = asyncio.Event()

    # ── requests ─────────────────────────────────────────────────────────────────────────────

    async def _serve(self, request: web.Request) -> web.Response:
        body = await request.read()
        try:
            action, parameters = self._model.request(
                request.headers.get("X-Amz-Target", ""), request.headers["Content-Type"], body
            )
        except ProtocolViolation as violation:
            self._violations.append(str(violation))
            return _error(ApiError("SerializationException", str(violation)))
        self.calls.append(Call(action, parameters))
        async with self._arrival:
            self._arrival.notify_all()
        try:
            self._check_signature(request)
            await self._misbehave(action)
            document = self._actions.answer(action, parameters, self._stale or self.world)
            answer = self._model.response(action, document)
        except ApiError as error:
            return _error(error)
        except (ProtocolViolation, NotImplementedError) as violation:
            self._violations.append(str(violation))
            return _error(ApiError("ServerException", str(violation), status=500))
        return web.Response(body=answer, headers=_headers())

    def _check_signature(self, request: web.Request) -> None:
        match = _SIGNATURE.fullmatch(request.headers.get("Authorization", ""))
        if match is None:
            raise ApiError("MissingAuthenticationTokenException", "Missing Authentication Token")
        if match["region"] != self.world.region:
            raise ApiError(
                "InvalidSignatureException",
                f"Credential should be scoped to a valid region, not {match['region']!r}.",
            )

    async def _misbehave(self, action: str) -> None:
        fault = next((fault for fault in self._faults if fault.applies(action)), None)
        if fault is None:
            return
        fault.use_up()
        if fault.error is not None:
            raise fault.error
        await self._healed.wait()
        raise ApiError("ServerException", "Service Unavailable.", status=500)


def _error(error: ApiError) -> web.Response:
    document = {"__type": error.code, "message": error.message}
    return web.Response(text=json.dumps(document), status=error.status, headers=_headers())


def _headers() -> dict[str, str]:
    return {"Content-Type": CONTENT_TYPE, "x-amzn-RequestId": str(uuid.uuid4())}
