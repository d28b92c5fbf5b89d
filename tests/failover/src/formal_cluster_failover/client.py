"""Asks an instance: for decisions, as a proxy would, and for its condition."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import aiohttp

from formal_cluster.model import Grade
from formal_cluster_failover.history import ARCHIVE, Outcome
from formal_cluster_failover.instance import Instance

_DECIDE = "/v1/data/formal/v2/pre_request?provenance"
_ANSWER_S = 6.0
ERRORS = (aiohttp.ClientError, TimeoutError, OSError)


class Decision(NamedTuple):
    """An answer.

    Attributes:
        value: Of the subject in the last hour, the present attempt included; None if refused.
    """

    outcome: Outcome
    value: int | None


class Client:
    """One client for all instances; use it as an async context manager."""

    async def __aenter__(self) -> Self:
        # No kept connections: what is measured is the cluster, not a connection pool.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True, limit=0),
            timeout=aiohttp.ClientTimeout(total=_ANSWER_S),
            trust_env=False,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def hit(self, instance: Instance, grade: Grade, subject: str) -> Decision:
        """Ask for an access.

        Raises:
            aiohttp.ClientError, TimeoutError, OSError: There was no answer.
        """
        if grade is Grade.EVENTUAL:
            entity = {"bucket": {"name": "sensitive-bucket"}}
        else:
            entity = {"table": {"name": "archive" if subject == ARCHIVE else "ledger"}}
        document = {"input": {"user": {"id": subject}, **entity}}
        async with self._session.post(instance.url + _DECIDE, json=document) as answer:
            answer.raise_for_status()
            return _read(await answer.json(), grade)

    async def cluster(self, instance: Instance) -> dict[str, Any]:
        """What `/v1/cluster` says. Raises as `hit` does."""
        async with self._session.get(f"{instance.url}/v1/cluster") as answer:
            answer.raise_for_status()
            body: dict[str, Any] = await answer.json()
            return body

    async def ready(self, instance: Instance) -> tuple[bool, dict[str, Any]]:
        """What `/ready` says: whether it is, and why. Raises as `hit` does."""
        async with self._session.get(f"{instance.url}/ready") as answer:
            body: dict[str, Any] = await answer.json()
            return answer.status == 200, body


def _read(body: dict[str, Any], grade: Grade) -> Decision:
    provenance = body["provenance"]
    action = (body.get("result") or {}).get("action")
    counts = [
        reading["value"]
        for reading in provenance["counters"]
        if reading["path"].endswith(".last_hour")
    ]
    count = counts[0] if counts else None
    unshared = grade is Grade.STRICT and provenance["grade"] != Grade.STRICT
    if provenance["reason"] or unshared:
        return Decision(Outcome.REFUSED, count)
    return Decision(Outcome.DENIED if action == "block" else Outcome.ADMITTED, count)
