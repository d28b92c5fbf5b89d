"""The status document: what an instance tells the others on the peer port while no etcd runs there.

`GET /fc/v1/status` answers with `PeerStatus` as JSON. The port is etcd's: the server is closed
before etcd is started and opened again when etcd has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Final, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from formal_cluster_store_etcd.endpoints import Endpoint
from formal_cluster_store_etcd.identity import Consent, Identity, Stage
from formal_cluster_store_etcd.ports import listen

PATH: Final = "/fc/v1/status"
_CLOSE_S: Final = 0.5


class PeerStatus(BaseModel):
    """The document. Readers ignore fields they do not know.

    Attributes:
        has_data: Whether there may be data of a cluster here.
        intending: Whether it is about to found a cluster.
        consent: Whom it lets found the cluster; None also while it takes a consent back.
        last_error: Why its etcd does not run, if that is not as it should be.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    format: Literal[1] = 1
    instance: str
    incarnation: str
    has_data: bool
    intending: bool = False
    cluster_id: str | None = None
    epoch: int = 0
    consent: Consent | None = None
    last_error: str | None = None


def status_of(identity: Identity, last_error: str | None) -> PeerStatus:
    """What an instance with this identity tells the others."""
    return PeerStatus(
        instance=identity.instance,
        incarnation=identity.incarnation,
        has_data=identity.has_data,
        intending=identity.stage is Stage.INTENDING,
        cluster_id=identity.cluster_id,
        epoch=identity.epoch,
        consent=None if identity.withdrawing else identity.consent,
        last_error=last_error,
    )


@contextlib.asynccontextmanager
async def serve_status(
    where: Endpoint, read: Callable[[], PeerStatus]
) -> AsyncGenerator[None, None]:
    """Serve the document, read anew for each request, inside the `async with`.

    Raises:
        CannotStart: The port cannot be listened on.
    """

    async def answer(_: web.Request) -> web.Response:
        return web.json_response(text=read().model_dump_json())

    application = web.Application()
    application.router.add_get(PATH, answer)
    listening = listen(where)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=_CLOSE_S)
    await runner.setup()
    try:
        await web.SockSite(runner, listening).start()
        yield
    finally:
        # A connection that is just being accepted when the server closes would be left open:
        # accept no more, and give the accepted one a turn of the loop.
        asyncio.get_running_loop().remove_reader(listening)
        await asyncio.sleep(0)
        await runner.cleanup()
