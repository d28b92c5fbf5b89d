"""What the messages of the stream mean, and how keys are written into subjects. No I/O.

    <stream>.key.=<quoted key>   a value, or with `Formal-Cluster-Op: delete` a deletion
    <stream>.mark                an instance's id; what matters is the place in the order: see `log`
    <stream>.compacted           the history before the revision it names was discarded

A message's sequence number is the change's revision.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote_from_bytes, unquote_to_bytes

from formal_cluster.errors import ConfigError

OP = "Formal-Cluster-Op"
TTL = "Formal-Cluster-Ttl-Ms"
WRITE = "Formal-Cluster-Write"
EXPECTED = "Nats-Expected-Last-Subject-Sequence"


class Change(NamedTuple):
    """A key was written, or deleted if `value` is None.

    Attributes:
        ttl: Seconds after which it is to vanish.
        write: Which call made it, so that its caller may learn that it happened.
    """

    revision: int
    key: bytes
    value: bytes | None
    ttl: float | None = None
    write: str = ""


class Mark(NamedTuple):
    """An instance asked how far the stream is."""

    revision: int
    instance: str


class Compaction(NamedTuple):
    """Superseded values and deletions before revision `before` were discarded."""

    revision: int
    before: int


Message = Change | Mark | Compaction


class Subjects:
    """The subjects of one stream."""

    def __init__(self, stream: str) -> None:
        self.all = f"{stream}.>"
        self.mark = f"{stream}.mark"
        self.compacted = f"{stream}.compacted"
        self._keys = f"{stream}.key.="

    def of_key(self, key: bytes) -> str:
        """Where the key's changes are; another one for each key, the empty one too."""
        return self._keys + quote_from_bytes(key, safe="").replace(".", "%2E")

    def parse(
        self, revision: int, subject: str, headers: Mapping[str, str], data: bytes
    ) -> Message:
        """The meaning of a message.

        Raises:
            ConfigError: Somebody else has written it.
        """
        try:
            return self._parse(revision, subject, headers, data)
        except ValueError as error:
            raise ConfigError(
                f"message {revision} of the stream, with subject {subject}, is none of this "
                f"store's; give it a stream of its own (`store.nats.stream`): {error}"
            ) from error

    def _parse(
        self, revision: int, subject: str, headers: Mapping[str, str], data: bytes
    ) -> Message:
        if subject == self.mark:
            return Mark(revision, data.decode())
        if subject == self.compacted:
            return Compaction(revision, int(data))
        if not subject.startswith(self._keys):
            raise ValueError("unknown subject")
        ttl = headers.get(TTL)
        return Change(
            revision,
            unquote_to_bytes(subject[len(self._keys) :]),
            None if headers.get(OP) == "delete" else data,
            None if ttl is None else int(ttl) / 1000,
            headers.get(WRITE, ""),
        )


def new_write() -> str:
    """A name for a call, never used twice."""
    return uuid.uuid4().hex


def headers_of(
    *, write: str, deletes: bool = False, ttl: float | None = None, expected: int | None = None
) -> dict[str, str]:
    """The headers of a change's message; `expected` is the revision of the key's last change."""
    headers = {WRITE: write}
    if deletes:
        headers[OP] = "delete"
    if ttl is not None:
        headers[TTL] = str(max(1, round(ttl * 1000)))
    if expected is not None:
        headers[EXPECTED] = str(expected)
    return headers
