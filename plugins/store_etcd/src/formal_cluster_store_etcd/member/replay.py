"""Lets etcd apply the log of a copied data directory, without its cluster and unseen by it.

How etcd is run on the copy, each point found out with 3.4.23 and 3.5.30:

- As the member it was, without a quorum. It then applies all that is committed within milliseconds
  and does nothing else. With `--force-new-cluster` a learner panics ("removed all voters"), and a
  voter becomes a leader, which changes data: it lets leases run out.
- It answers no client, not even `Status`, as it could not announce itself to a quorum. Its metrics
  are served without one, and tell what it has applied. Each change is committed to the database
  file at once (batch limit 1), so what is applied is in the file when etcd is killed.
- It must never meet the members it knows: to them it would be the member that it was. It listens
  on loopback only, and dials them through a proxy that does not exist. Go uses none for loopback
  addresses, so instances on one machine are protected by their fences alone.
- It never stands for election: it is gone long before its election time-out, of 50 s, ends.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import secrets
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import aiohttp

from formal_cluster_store_etcd.member.binary import Binary
from formal_cluster_store_etcd.member.etcd_command import environment
from formal_cluster_store_etcd.member.failures import CannotStart, Place, explain
from formal_cluster_store_etcd.member.process import EtcdProcess
from formal_cluster_store_etcd.member.wal import Log
from formal_cluster_store_etcd.urls import Endpoint, member_url

_NOWHERE: Final = "http://127.0.0.1:1"
_APPLIED: Final = re.compile(r"^etcd_server_proposals_applied_total (\S+)$", re.MULTILINE)
_POLL_S: Final = 0.02
_ANSWER_S: Final = 1.0


async def replay(
    data_dir: Path, log: Log, binary: Binary, logger: logging.Logger, *, within_s: float
) -> None:
    """Bring the database in a copy to the end of its log, all of which is committed.

    Raises:
        CannotStart: etcd could not do it, or not within `within_s` seconds.
    """
    client, peer, metrics = _free_ports()
    process = await EtcdProcess.launch(
        _command(binary, data_dir, client=client, peer=peer, metrics=metrics),
        _isolated(),
        logger.getChild("replay"),
    )
    try:
        async with asyncio.timeout(within_s):
            while not await _has_applied(log, metrics):
                if process.returncode is not None:
                    place = Place(str(data_dir), str(client), str(peer))
                    failure = explain(await process.wait(), process.complaints, place)
                    raise CannotStart(f"a copy of the data cannot be read: {failure.message}")
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        raise CannotStart(
            f"etcd has not applied the log of a copy in {data_dir} within {within_s:.0f} s (up to "
            f"entry {log.last.index}); it is tried again"
        ) from None
    finally:
        await process.kill()


async def _has_applied(log: Log, metrics: Endpoint) -> bool:
    timeout = aiohttp.ClientTimeout(total=_ANSWER_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{member_url('http', *metrics)}/metrics") as response,
        ):
            match = _APPLIED.search(await response.text())
    except (aiohttp.ClientError, OSError, TimeoutError):
        return False
    # The gauge stays 0 while there is nothing to apply beyond the snapshot.
    last = log.last.index
    return match is not None and (float(match[1]) >= last or log.snapshot >= last)


def _command(
    binary: Binary, data_dir: Path, *, client: Endpoint, peer: Endpoint, metrics: Endpoint
) -> tuple[str, ...]:
    flags = {
        "name": "replay",
        "data-dir": str(data_dir),
        "listen-client-urls": member_url("http", *client),
        "advertise-client-urls": member_url("http", *client),
        "listen-peer-urls": member_url("http", *peer),
        "initial-advertise-peer-urls": member_url("http", *peer),
        "initial-cluster": f"replay={member_url('http', *peer)}",
        "listen-metrics-urls": member_url("http", *metrics),
        "backend-batch-limit": "1",
        "initial-election-tick-advance": "false",
        "heartbeat-interval": "5000",
        "election-timeout": "50000",
        "logger": "zap",
        "log-outputs": "stderr",
    }
    return (str(binary.path), *(f"--{flag}={value}" for flag, value in flags.items()))


def _isolated() -> dict[str, str]:
    """An environment in which etcd reaches nothing that is not on this machine."""
    inherited = environment(os.environ).items()
    kept = {name: value for name, value in inherited if not name.lower().endswith("_proxy")}
    return {**kept, "HTTP_PROXY": _NOWHERE, "HTTPS_PROXY": _NOWHERE}


def _free_ports() -> tuple[Endpoint, Endpoint, Endpoint]:
    """On a loopback address of its own: on the usual one somebody might take them meanwhile."""
    host = f"127.{1 + secrets.randbelow(254)}.{secrets.randbelow(255)}.{1 + secrets.randbelow(254)}"
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(3)]
        for one in sockets:
            one.bind((host, 0))
        client, peer, metrics = (Endpoint(host, s.getsockname()[1]) for s in sockets)
    return client, peer, metrics
