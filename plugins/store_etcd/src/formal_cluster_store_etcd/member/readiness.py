"""Whether the etcd that answers on our ports is truly the one we started.

A port can be taken by a stranger between our check and etcd's start, and polling it would then join
us to someone else's cluster. So three things must agree: the member list at our peer port names our
member, the id it gives it is the one the client port answers with, and the cluster is the expected
one. (That our child lives is for the caller to check, after this.)
"""

from __future__ import annotations

import aiohttp

from formal_cluster.errors import StoreError
from formal_cluster_store_etcd.client.cluster_api import ClusterApi
from formal_cluster_store_etcd.member.etcd_command import Member
from formal_cluster_store_etcd.member.failures import CannotStart
from formal_cluster_store_etcd.peers.probe import Prober
from formal_cluster_store_etcd.planning.members import ClusterMember
from formal_cluster_store_etcd.urls import Endpoint, member_url


class NotYet(Exception):
    """Our etcd does not serve so far; the message says what is missing."""


async def confirm(
    member: Member, expected_cluster: str | None, prober: Prober, api: ClusterApi
) -> tuple[str, tuple[ClusterMember, ...]]:
    """The id, hexadecimal, and the members of the cluster in which our member serves.

    Raises:
        NotYet: It does not serve yet, or something else answers.
        CannotStart: It serves in another cluster than the expected one.
    """
    # A certificate names the address that the others use.
    host = member.listen if member.scheme == "http" else member.address
    peer = member_url(member.scheme, host, member.peer_port)
    client = Endpoint(host, member.client_port)
    try:
        cluster_id, members = await prober.members_at(peer)
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        raise NotYet(f"etcd does not answer at {peer} yet ({error})") from error
    listed = next((entry for entry in members if entry.name == member.name), None)
    if listed is None or not listed.client_urls:
        raise NotYet(f"member {member.name} is not known to the etcd at {peer} yet")
    try:
        status = await api.status(client)
    except StoreError as error:
        raise NotYet(f"etcd does not serve clients yet, it may lack a quorum ({error})") from error
    if (status.member_id, f"{status.cluster_id:x}") != (listed.id, cluster_id):
        raise NotYet(f"a stranger answers at {client}: it is not the etcd at {peer}")
    if expected_cluster not in (None, cluster_id):
        raise CannotStart(
            f"the data here belongs to cluster {cluster_id}, and this instance to cluster "
            f"{expected_cluster}. Move the data directory's member directory away, and this "
            "instance joins its cluster anew"
        )
    return cluster_id, members
