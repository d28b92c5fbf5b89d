"""What the answers of JetStream mean, to changes and to requests of its API.

An answer that is not known to say "not done" leaves open what happened: errors of a cluster that
changes its leader may come after the message was handed to the others.
"""

from __future__ import annotations

import json
from typing import Any

from formal_cluster.errors import NotWritable, OutcomeUnknown, StoreError, Unavailable

_WRONG_LAST = frozenset({10071, 10164})
_FULL = frozenset({10002, 10023, 10028, 10047})
_TOO_LARGE = 10054
_STORE_FAILED = 10077


class WrongRevision(Exception):
    """The server refused a change because the key was changed last at another revision."""


def revision_of(answer: bytes) -> int:
    """The revision in a server's answer to a change.

    Raises:
        WrongRevision, NotWritable, StoreError: Refused.
        OutcomeUnknown: The answer does not say whether the change was made.
    """
    try:
        document = json.loads(answer)
        error = document.get("error")
        if error is None:
            return int(document["seq"])
        code, why = int(error["err_code"]), str(error["description"])
    except (ValueError, KeyError, TypeError, AttributeError) as wrong:
        raise OutcomeUnknown(f"the server's answer cannot be read: {answer[:200]!r}") from wrong
    if code in _WRONG_LAST:
        raise WrongRevision(why)
    if code in _FULL or (code == _STORE_FAILED and "maximum" in why):
        raise NotWritable(f"JetStream refuses changes: {why}; give it more room")
    if code == _TOO_LARGE:
        raise StoreError(f"JetStream refuses the value: {why}; raise the stream's max_msg_size")
    raise OutcomeUnknown(f"JetStream answered with error {code}, {why}; read the key")


def document_of(answer: bytes, *, what: str) -> dict[str, Any]:
    """The JSON object in an answer of the API.

    Raises:
        ApiError: It tells an error.
    """
    document: dict[str, Any] = json.loads(answer)
    if "error" in document:
        error = document["error"]
        raise ApiError(what, int(error.get("err_code", 0)), str(error.get("description", "")))
    return document


class ApiError(Unavailable):
    """JetStream did not do what it was asked for."""

    def __init__(self, what: str, code: int, why: str) -> None:
        super().__init__(f"JetStream cannot {what}: {why} (error {code})")
        self.code = code
