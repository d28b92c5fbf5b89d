"""What an S3 request says: who asks, for which bucket and key, to do what.

Hazard: the policy must decide on the bucket that the upstream will serve. Whatever the two might
read differently (dot segments, an empty bucket, a bucket in the host name) is refused, and a copy
is an access to its source too.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

_CREDENTIAL = re.compile(r"[\s,]Credential=([^/,\s]+)/")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
Document = dict[str, Any]


class S3Error(Exception):
    """The request ends here, with an S3 error.

    Attributes:
        status: The HTTP status.
        code: S3's error code, for example `AccessDenied`.
        message: What the client is told.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class Target(NamedTuple):
    """What is accessed; both None for the list of all buckets, key None for a bucket itself."""

    bucket: str | None
    key: str | None


def signer(authorization: str, query: str) -> str:
    """The access key id of a signature version 4, in the header or in a presigned URL.

    It is read, not verified: verifying the signature is the upstream's part.

    Raises:
        S3Error: There is none, or more than one.
    """
    found: set[str] = set()
    if authorization.startswith("AWS4-"):
        found.update(_CREDENTIAL.findall(authorization))
    for credential in parse_qs(query).get("X-Amz-Credential", ()):
        found.add(credential.partition("/")[0])
    if len(found) != 1 or "" in found:
        raise S3Error(
            403, "AccessDenied", "Access denied: sign as one user, with signature version 4."
        )
    return found.pop()


def named_user(header: str | None) -> str:
    """The user that a trusted proxy in front names.

    Raises:
        S3Error: It names none.
    """
    if not header:
        raise S3Error(403, "AccessDenied", "Access denied: the request names no user.")
    return header


def target_of(path: str) -> Target:
    """Bucket and key of a decoded path-style path.

    Raises:
        S3Error: The upstream might read another bucket in it.
    """
    segments = path.split("/")
    bucket, _, key = path[1:].partition("/")
    if segments[0] or {".", ".."} & set(segments) or (not bucket and path != "/"):
        raise S3Error(400, "InvalidURI", "Couldn't parse the specified URI.")
    return Target(bucket or None, key or None)


def copied_from(copy_source: str) -> Target:
    """The object that `x-amz-copy-source` names.

    Raises:
        S3Error: as `target_of`.
    """
    return target_of("/" + unquote(copy_source.partition("?")[0]).lstrip("/"))


def check_host(host: str, own_names: Collection[str]) -> None:
    """Let only path-style requests pass: to an IP address or one of the connector's own names.

    Raises:
        S3Error: The host may name a bucket, which the policy would not see.
    """
    try:
        name = urlsplit(f"//{host}").hostname or ""
        if name not in own_names:
            ipaddress.ip_address(name)
    except ValueError:
        raise S3Error(
            400, "InvalidURI", f"{host} is not this connector's name; use path-style addressing."
        ) from None


def document(user: str, target: Target, method: str, client_address: str | None) -> Document:
    """The policy input. `operation` is named as in S3's server access logs."""
    kind = "OBJECT" if target.key else "BUCKET" if target.bucket else "SERVICE"
    result: Document = {
        "user": {"id": user},
        "method": method,
        "operation": f"REST.{method}.{kind}",
        "client_ip_address": client_address,
    }
    if target.bucket:
        result["bucket"] = {"name": target.bucket}
    if target.key:
        result["object"] = {"key": target.key}
    return result


def error_document(error: S3Error, request_id: str) -> str:
    """S3's XML error body."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{_text(error.code)}</Code><Message>{_text(error.message)}</Message>"
        f"<RequestId>{_text(request_id)}</RequestId></Error>"
    )


def _text(value: str) -> str:
    return escape(_NOT_XML.sub("\N{REPLACEMENT CHARACTER}", value))
