"""Refusals as the API server words them: Status objects. Pure."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from formal_cluster_conformance.k8s.resources import Resource, Target

_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    406: "NotAcceptable",
    409: "Conflict",
    410: "Expired",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


class Refusal(Exception):
    """An answer that is not the one asked for."""

    def __init__(
        self,
        code: int,
        message: str,
        *,
        reason: str | None = None,
        details: dict[str, Any] | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason or _REASONS.get(code, HTTPStatus(code).phrase)
        self.details = details or {}
        self.retry_after = retry_after
        if retry_after is not None:
            self.details["retryAfterSeconds"] = retry_after

    @property
    def status(self) -> dict[str, Any]:
        """The Status object."""
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        if self.details:
            status["details"] = self.details
        return status


def not_found(resource: Resource, name: str) -> Refusal:
    """There is no object of that name."""
    return Refusal(
        404,
        f'{_qualified(resource)} "{name}" not found',
        details={"name": name, "group": resource.group, "kind": resource.plural},
    )


def already_exists(resource: Resource, name: str) -> Refusal:
    """There is one."""
    return Refusal(409, f'{_qualified(resource)} "{name}" already exists', reason="AlreadyExists")


def conflict(resource: Resource, name: str) -> Refusal:
    """It was changed since it was read."""
    return Refusal(
        409,
        f'Operation cannot be fulfilled on {_qualified(resource)} "{name}": the object has been '
        "modified; please apply your changes to the latest version and try again",
    )


def invalid(resource: Resource, name: str, problem: str) -> Refusal:
    """The object says what it must not."""
    return Refusal(422, f'{resource.kind} "{name}" is invalid: {problem}')


def forbidden(user: str, verb: str, target: Target) -> Refusal:
    """A permission is missing."""
    resource = target.resource
    what = "/".join(filter(None, [resource.plural, target.subresource]))
    named = f' "{target.name}"' if target.name else ""
    where = f'in the namespace "{target.namespace}"' if target.namespace else "at the cluster scope"
    return Refusal(
        403,
        f'{_qualified(resource)}{named} is forbidden: User "{user}" cannot {verb} resource '
        f'"{what}" in API group "{resource.group}" {where}',
        details={"group": resource.group, "kind": resource.plural, "name": target.name or ""},
    )


def expired(version: int, oldest: int) -> Refusal:
    """The history from `version` on is gone."""
    return Refusal(410, f"too old resource version: {version} ({oldest})")


def _qualified(resource: Resource) -> str:
    return f"{resource.plural}.{resource.group}" if resource.group else resource.plural
