"""Asks the instances' peer ports who is there: a supervisor, an etcd, a stranger, nobody.

Needs no quorum anywhere. Each answer is at most `_ANSWER_S` old when a round ends.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

import aiohttp
from pydantic import ValidationError

from formal_cluster.model import Instance
from formal_cluster_store_etcd.names import is_ours
from formal_cluster_store_etcd.peers.lineage import parse_lineage
from formal_cluster_store_etcd.planning.lineage import KEY, Lineage
from formal_cluster_store_etcd.planning.members import ClusterMember
from formal_cluster_store_etcd.planning.observations import (
    LiveEtcd,
    NoEtcd,
    Probe,
    Silent,
    Stranger,
)
from formal_cluster_store_etcd.planning.peer_status import PATH, PeerStatus
from formal_cluster_store_etcd.tls.detection import other_security
from formal_cluster_store_etcd.tls.keeper import CredentialsKeeper
from formal_cluster_store_etcd.urls import Scheme, member_url

_ANSWER_S: Final = 1.5
_AT_ONCE: Final = 32
_CLUSTER_ID: Final = "X-Etcd-Cluster-Id"
_READ_LINEAGE: Final = {"key": base64.b64encode(KEY).decode(), "serializable": True}


class Prober:
    """Asks instances; use it as an async context manager.

    Args:
        client_port: The client port of instances for which discovery names none.
        peer_port: Likewise.
        tls: Ask by TLS.
    """

    def __init__(
        self, client_port: int, peer_port: int, tls: CredentialsKeeper | None = None
    ) -> None:
        self._client_port = client_port
        self._peer_port = peer_port
        self._tls = tls
        self._scheme: Scheme = "http" if tls is None else "https"

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            # A kept connection would hold a supervisor's port when etcd is about to take it.
            connector=aiohttp.TCPConnector(force_close=True, limit=_AT_ONCE),
            timeout=aiohttp.ClientTimeout(total=_ANSWER_S),
            trust_env=False,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def ask_all(self, instances: Sequence[Instance]) -> Mapping[str, Probe]:
        """One round: what each instance's peer port says, by instance id."""
        answers = await asyncio.gather(*map(self._ask, instances))
        return {instance.id: answer for instance, answer in zip(instances, answers, strict=True)}

    async def members_at(self, peer_url: str) -> tuple[str, tuple[ClusterMember, ...]]:
        """The cluster id, hexadecimal, and the members that the etcd at `peer_url` knows of.

        Raises:
            aiohttp.ClientError, OSError, TimeoutError: Nobody answers.
            ValueError: What answers is not an etcd.
        """
        async with self._session.get(f"{peer_url}/members", ssl=self._ssl) as response:
            if response.status != 200 or _CLUSTER_ID not in response.headers:
                raise ValueError(f"{peer_url} answers, but not as an etcd")
            return response.headers[_CLUSTER_ID], _members(await response.read())

    @property
    def _ssl(self) -> ssl.SSLContext | bool:
        """To be given with each request: the certificates may be new ones by now."""
        return True if self._tls is None else self._tls.client

    async def _ask(self, instance: Instance) -> Probe:
        address, scheme = instance.address, self._scheme
        peer = member_url(scheme, address, instance.peer_port or self._peer_port)
        client = member_url(scheme, address, instance.client_port or self._client_port)
        try:
            async with self._session.get(peer + PATH, ssl=self._ssl) as response:
                if response.status == 200:
                    return _supervisor(await response.read(), instance, peer)
            cluster_id, members = await self.members_at(peer)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            other = await other_security(error, peer, by_tls=self._tls is not None)
            if other is not None:
                return Stranger(other, is_etcd=True)
            return Silent(f"{peer} does not answer ({_describe(error)})")
        except ValueError as error:
            return Stranger(str(error))
        name = next((m.name for m in members if peer in m.peer_urls and is_ours(m.name)), None)
        if name is None:
            return Stranger(
                f"an etcd answers at {peer} that formal-cluster did not start", is_etcd=True
            )
        serving, lineage, index = await asyncio.gather(
            self._serves(client), self._lineage(client), self._index(client)
        )
        if lineage is not None and lineage.cluster_id != cluster_id:
            # The cluster was restored a moment ago, and its founder has not written it yet.
            lineage = None
        return LiveEtcd(cluster_id, members, serving, lineage, name, index)

    async def _serves(self, client: str) -> bool:
        try:
            async with self._session.get(f"{client}/health", ssl=self._ssl) as response:
                health = await response.json(content_type=None)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            return False
        return isinstance(health, dict) and health.get("health") == "true"

    async def _lineage(self, client: str) -> Lineage | None:
        """What the member itself has stored."""
        answer = await self._gateway(client, "kv/range", _READ_LINEAGE)
        try:
            return parse_lineage(base64.b64decode(answer["kvs"][0]["value"]))
        except (ValueError, TypeError, LookupError):
            return None  # there is no such key, or it is no etcd

    async def _index(self, client: str) -> int:
        """The last log entry that the member knows to be committed; 0 if it cannot be asked."""
        answer = await self._gateway(client, "maintenance/status", {})
        try:
            return int(answer["raftIndex"])
        except (ValueError, TypeError, LookupError):
            return 0

    async def _gateway(self, client: str, method: str, question: Mapping[str, object]) -> Any:
        """Ask the member itself through etcd's JSON gateway, which needs no quorum.

        None if it does not answer.
        """
        try:
            async with self._session.post(
                f"{client}/v3/{method}", json=question, ssl=self._ssl
            ) as response:
                return await response.json(content_type=None)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            return None


def _supervisor(document: bytes, instance: Instance, where: str) -> Probe:
    try:
        status = PeerStatus.model_validate_json(document)
    except ValidationError:
        return Stranger(f"{where} answers with a status document of another version")
    if status.instance != instance.id:
        return Stranger(f"{where} is instance {status.instance}, not {instance.id}")
    return NoEtcd(status)


def _members(listed: bytes) -> tuple[ClusterMember, ...]:
    try:
        return tuple(
            ClusterMember(
                id=int(member["id"]),
                name=str(member.get("name", "")),
                peer_urls=tuple(member["peerURLs"]),
                client_urls=tuple(member.get("clientURLs") or ()),
                is_learner=bool(member.get("isLearner", False)),
            )
            for member in json.loads(listed)
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"a list of members that is none: {listed[:80]!r}") from error


def _describe(error: BaseException) -> str:
    return str(error) or type(error).__name__
