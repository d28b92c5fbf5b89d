"""Presence: the key by which every instance, member or not, tells the others that it is there.

The key lives for `TTL_S` and is renewed every `RENEWAL_S`. It is a hint to whom the leader may add,
and how a member's name maps to an instance. That it is missing proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from formal_cluster.model import Entry

PREFIX: Final = b"/formal-cluster-members/instances/"
TTL_S: Final = 15.0
RENEWAL_S: Final = 5.0


class Presence(BaseModel):
    """The key's value. Readers ignore fields they do not know.

    Attributes:
        member: Name that its etcd member has, or would have.
        peer_url: Where its etcd is, or would be, reached by the others.
        version: Of its etcd program.
        draining: Whether the instance is about to leave for good.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    format: Literal[1] = 1
    instance: str
    incarnation: str
    member: str
    address: str
    client_port: int
    peer_port: int
    peer_url: str
    started_at: float | None = None
    zone: str | None = None
    version: str
    draining: bool = False

    @property
    def key(self) -> bytes:
        """Where it is stored: one key per instance."""
        return PREFIX + self.instance.encode()


def read(entries: Iterable[Entry]) -> tuple[Presence, ...]:
    """The presences among `entries`. One that is not understood (another format) is left out."""
    found = []
    for entry in entries:
        try:
            found.append(Presence.model_validate_json(entry.value))
        except ValidationError:
            continue
    return tuple(found)
