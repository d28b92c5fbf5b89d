"""Reads the task metadata endpoint: a server of the ECS agent that every task can reach.

The agent limits the rate of requests and can be briefly away or incomplete while a task starts, so
a read is tried again for a while. The endpoint's address is link-local: it is never asked through
the proxy that `HTTP_PROXY` may name.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from formal_cluster.errors import DiscoveryError, DiscoveryUnavailable
from formal_cluster_discovery_ecs import metadata
from formal_cluster_discovery_ecs.metadata import TaskMetadata

VARIABLE = "ECS_CONTAINER_METADATA_URI_V4"

_REQUEST_TIMEOUT_S = 2.0
_FIRST_WAIT_S = 0.1


class MetadataEndpoint:
    """The endpoint at `uri`, or none when this process does not run in a task."""

    def __init__(self, uri: str | None, *, patience_s: float = 10.0) -> None:
        self._uri = uri
        self._patience_s = patience_s
        self._opener = build_opener(ProxyHandler({}))

    async def read(self) -> TaskMetadata:
        """This task's metadata, asked for again for `patience_s` seconds until they are there.

        Raises:
            DiscoveryUnavailable: The endpoint does not answer, or not with what is needed.
            DiscoveryError: This process does not run in an ECS task, or in an unsupported one.
        """
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self._patience_s
        wait = _FIRST_WAIT_S
        while True:
            try:
                return await self.read_once()
            except DiscoveryUnavailable:
                if loop.time() + wait > give_up_at:
                    raise
            await asyncio.sleep(wait)
            wait *= 2

    async def read_once(self) -> TaskMetadata:
        """This task's metadata, asked for once. Raises as `read`."""
        if not self._uri:
            raise DiscoveryError(
                f"{VARIABLE} is not set, so this process does not run in an ECS task (or in one on "
                "a Fargate platform older than 1.4.0 or a container agent older than 1.39.0); "
                "use discovery driver 'static' or 'dns' here"
            )
        url = f"{self._uri.rstrip('/')}/task"
        try:
            document = await asyncio.to_thread(self._get, url)
        except (URLError, OSError, ValueError) as error:
            raise DiscoveryUnavailable(
                f"the task metadata endpoint {url} does not answer as it should: {error}"
            ) from error
        return metadata.parse(document)

    def _get(self, url: str) -> dict[str, Any]:
        with self._opener.open(url, timeout=_REQUEST_TIMEOUT_S) as answer:
            document = json.load(answer)
        if not isinstance(document, dict):
            raise ValueError("its answer is not a JSON object")  # noqa: TRY004  as for broken JSON
        return document
