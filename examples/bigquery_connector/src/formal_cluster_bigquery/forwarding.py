"""One call of the upstream: a small JSON document there, a JSON document back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import httpx

from formal_cluster_bigquery.bigquery_request import document_of
from formal_cluster_bigquery.errors import BigQueryError

_TIMEOUT = httpx.Timeout(240, connect=5)
_PASSED_ON = ("authorization", "content-type", "user-agent", "x-goog-api-client")


Parameters = list[tuple[str, str | int | float | bool | None]]
"""The query of a URL, as httpx takes it."""


class Answer(NamedTuple):
    """What the upstream said."""

    status: int
    document: dict[str, Any]

    @property
    def ok(self) -> bool:
        """Whether it did what it was asked for."""
        return 200 <= self.status < 300


class Upstream:
    """BigQuery, at a base URL."""

    def __init__(self, base_url: str, client: httpx.AsyncClient) -> None:
        self._base = f"{base_url.rstrip('/')}/bigquery/v2/projects"
        self._client = client

    async def call(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        params: Parameters,
        body: bytes | None = None,
    ) -> Answer:
        """Ask for `path` below the projects.

        Raises:
            BigQueryError: It did not answer, or not with a JSON object.
        """
        passed = {name: headers[name] for name in _PASSED_ON if name in headers}
        try:
            answer = await self._client.request(
                method,
                f"{self._base}/{path}",
                headers=passed,
                params=params,
                content=body,
                timeout=_TIMEOUT,
            )
        except httpx.TransportError as error:
            raise BigQueryError(503, f"BigQuery does not answer: {error!r}") from error
        try:
            return Answer(answer.status_code, document_of(answer.content or b"{}"))
        except BigQueryError as error:
            raise BigQueryError(502, f"BigQuery's answer cannot be read: {error}") from error
