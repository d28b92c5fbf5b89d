"""Why etcd refused a change of its cluster, where the caller must tell the reasons apart.

ChangeRefused            certainly not made
├── LearnerNotReady      the learner is behind; ask again later
├── NotALearner          it has a vote already
├── TooManyLearners      promote or remove the present one first
├── ClusterUnhealthy     too few voters are started or connected for a safe change
├── MemberNotFound       no such member, or it was removed before
├── PeerUrlExists        a member with that peer URL exists
├── NotLeader            only the leader can do this
└── BadTransferee        that member cannot lead
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from formal_cluster.errors import StoreError
from formal_cluster_store_etcd.client.rpc import AioRpcError


class ChangeRefused(StoreError):
    """The cluster was certainly not changed."""


class LearnerNotReady(ChangeRefused):
    """The learner has not caught up with the leader yet."""


class NotALearner(ChangeRefused):
    """The member to be promoted has a vote already."""


class TooManyLearners(ChangeRefused):
    """The cluster has as many learners as it may have (one, unless started with more)."""


class ClusterUnhealthy(ChangeRefused):
    """Too few voters are started, or connected, for the change to be safe."""


class MemberNotFound(ChangeRefused):
    """There is no such member, perhaps because it was removed before."""


class PeerUrlExists(ChangeRefused):
    """A member with that peer URL exists."""


class NotLeader(ChangeRefused):
    """The member asked does not lead."""


class BadTransferee(ChangeRefused):
    """The leadership cannot be handed to that member."""


_REFUSALS: Final = {
    "etcdserver: can only promote a learner member which is in sync with leader": LearnerNotReady,
    "etcdserver: can only promote a learner member": NotALearner,
    "etcdserver: too many learner members in cluster": TooManyLearners,
    "etcdserver: unhealthy cluster": ClusterUnhealthy,
    "etcdserver: re-configuration failed due to not enough started members": ClusterUnhealthy,
    "etcdserver: member not found": MemberNotFound,
    "etcdserver: Peer URLs already exists": PeerUrlExists,
    # Ids are made from the URLs and the time in seconds: the same URLs, added a moment ago.
    "etcdserver: member ID already exist": PeerUrlExists,
    "etcdserver: not leader": NotLeader,
    "etcdserver: bad leader transferee": BadTransferee,
}


@contextmanager
def refusals(where: str) -> Iterator[None]:
    """Turns the answers above into their classes; other errors pass through."""
    try:
        yield
    except AioRpcError as error:
        refusal = _REFUSALS.get(error.details() or "")
        if refusal is None:
            raise
        meaning = (refusal.__doc__ or "").rstrip(".")
        raise refusal(f"etcd at {where}: {error.details()} ({meaning})") from error
