"""What an answer of the API server that is not 200 means, as a person needs to read it. Pure.

Most of it passes without a restart, a missing permission too: a Role can be bound while the pod
runs. So it is *unknown* and tried again. Only a request that can never succeed is fatal.
"""

from __future__ import annotations

import json

from formal_cluster.errors import DiscoveryError, DiscoveryUnavailable
from formal_cluster_discovery_k8s.permissions import Permission, manifest


class Refused(DiscoveryUnavailable):
    """The API server answered, but not with what was asked for.

    Attributes:
        retry_after_s: For how long it wants to be left alone, in seconds.
    """

    def __init__(self, message: str, *, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class NotAuthenticated(Refused):
    """The credentials are not (or no longer) valid."""


class Forbidden(Refused):
    """A permission is missing."""


class Absent(Refused):
    """There is no object of that name."""


class Expired(Refused):
    """The history asked for is gone: list again."""


def refusal(
    code: int,
    body: str,
    *,
    verb: str,
    permission: Permission,
    namespace: str | None,
    retry_after: str | None = None,
) -> DiscoveryError:
    """The error that stands for an answer.

    Args:
        code: HTTP status, or the code in a watch's ERROR event.
        body: The Status object as JSON, or whatever came instead of it.
        namespace: None for what is not in a namespace.
        retry_after: The header of that name.
    """
    said = _message(body)
    where = f" in namespace {namespace}" if namespace else ""
    what = f"Kubernetes does not let this instance {verb} {permission.resource}{where}"
    match code:
        case 401:
            return NotAuthenticated(
                f"{what}: its credentials are not accepted ({said}). The service account's token "
                "or the kubeconfig may be out of date; it is read and tried again"
            )
        case 403:
            cost = f" Without it: {permission.loss}." if permission.loss else ""
            return Forbidden(
                f"{what} ({said}).{cost} Bind this role to its service account:\n"
                + manifest(permission, namespace)
            )
        case 404:
            return Absent(f"{what}: not found ({said})")
        case 410:
            return Expired(f"{what} from where it stopped ({said}); it lists again")
        case 400 | 422:
            return DiscoveryError(
                f"{what}: {said}. Correct discovery.k8s.label_selector, service or namespace"
            )
    return Refused(
        f"{what} at the moment: {code} {said}. It is tried again",
        retry_after_s=_seconds(retry_after),
    )


def _message(body: str) -> str:
    try:
        status = json.loads(body)
    except ValueError:
        return body.strip()[:200] or "no reason given"
    message = status.get("message") if isinstance(status, dict) else None
    return str(message or "no reason given")


def _seconds(retry_after: str | None) -> float:
    # It may also be a date, by a clock that is not ours: then the own back-off has to do.
    if retry_after is None or not retry_after.isdecimal():
        return 0.0
    return min(float(retry_after), 60.0)
