"""Turns what gRPC raises during a call into the errors of the store contract."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from formal_cluster.errors import Unavailable
from formal_cluster_store_etcd.client import rpc
from formal_cluster_store_etcd.client.errors_map import map_error


@contextmanager
def outcome(where: str, *, write: bool) -> Iterator[None]:
    """Around one call to the endpoint `where`; see `errors_map` for the errors.

    A call on a connection that is closed meanwhile is reported by gRPC as a cancellation of our own
    task; it is told apart here from a real one, which passes through.
    """
    try:
        yield
    except rpc.AioRpcError as error:
        raise map_error(error.code(), error.details(), where=where, write=write) from error
    except rpc.UsageError as error:
        raise Unavailable(f"etcd at {where}: the connection was closed before the call") from error
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        details = "the connection was closed during the call"
        raise map_error(rpc.StatusCode.CANCELLED, details, where=where, write=write) from error
