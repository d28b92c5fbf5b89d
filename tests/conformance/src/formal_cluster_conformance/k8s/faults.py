"""Faults that a test injects, each by the requests that it befalls."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from formal_cluster_conformance.k8s.statuses import Refusal


@dataclass(frozen=True, slots=True)
class Request:
    """One request that reached the server, authenticated or not.

    Attributes:
        verb: get, list, watch, create, update or delete.
        query: Its query parameters as they came.
    """

    verb: str
    resource: str
    namespace: str | None
    name: str | None
    subresource: str | None
    query: dict[str, str]
    user: str | None


class Dropped(Exception):
    """The connection is to be cut, without an answer."""


@dataclass(slots=True)
class _Fault:
    verb: str | None
    resource: str | None
    times: int
    refusal: Refusal | None = None
    delay_s: float = 0.0
    drop: bool = False

    def befalls(self, request: Request) -> bool:
        return (
            self.times > 0
            and self.verb in {None, request.verb}
            and self.resource in {None, request.resource}
        )


@dataclass(slots=True)
class Faults:
    """What is to go wrong. Of several faults that fit a request the first given is taken.

    Attributes:
        etcd_is_away: Only reads with resourceVersion=0 and watches are answered, all others hang.
    """

    etcd_is_away: bool = False
    _faults: list[_Fault] = field(default_factory=list)

    def refuse(
        self,
        code: int,
        *,
        verb: str | None = None,
        resource: str | None = None,
        times: int = 1,
        retry_after: int | None = None,
        message: str = "injected",
    ) -> None:
        """Answer the next `times` requests with this status."""
        refusal = Refusal(code, message, retry_after=retry_after)
        self._faults.append(_Fault(verb, resource, times, refusal))

    def drop(self, *, verb: str | None = None, resource: str | None = None, times: int = 1) -> None:
        """Cut the connection of the next `times` requests."""
        self._faults.append(_Fault(verb, resource, times, drop=True))

    def stall(
        self, *, verb: str | None = None, resource: str | None = None, times: int = 1
    ) -> None:
        """Never answer the next `times` requests."""
        self._faults.append(_Fault(verb, resource, times, delay_s=float("inf")))

    def slow(
        self,
        seconds: float,
        *,
        verb: str | None = None,
        resource: str | None = None,
        times: int = 1,
    ) -> None:
        """Answer the next `times` requests so much later."""
        self._faults.append(_Fault(verb, resource, times, delay_s=seconds))

    def clear(self) -> None:
        """From now on nothing goes wrong; requests that were stalled stay so."""
        self._faults.clear()
        self.etcd_is_away = False

    async def befall(self, request: Request) -> None:
        """What goes wrong with a request.

        Raises:
            Refusal: It is refused.
            Dropped: Its connection is to be cut.
        """
        is_from_cache = request.verb == "watch" or request.query.get("resourceVersion") == "0"
        if self.etcd_is_away and not is_from_cache:
            await asyncio.Event().wait()
        fault = next((fault for fault in self._faults if fault.befalls(request)), None)
        if fault is None:
            return
        fault.times -= 1
        if fault.delay_s == float("inf"):
            await asyncio.Event().wait()
        await asyncio.sleep(fault.delay_s)
        if fault.drop:
            raise Dropped
        if fault.refusal is not None:
            raise fault.refusal
