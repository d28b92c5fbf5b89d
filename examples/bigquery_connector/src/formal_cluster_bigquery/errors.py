"""Errors as BigQuery's REST API writes them, so that its clients understand them."""

from __future__ import annotations

from typing import Any

_STATUS = {
    400: ("invalid", "INVALID_ARGUMENT"),
    401: ("authError", "UNAUTHENTICATED"),
    403: ("accessDenied", "PERMISSION_DENIED"),
    404: ("notFound", "NOT_FOUND"),
    409: ("duplicate", "ALREADY_EXISTS"),
    502: ("badGateway", "UNAVAILABLE"),
    503: ("backendError", "UNAVAILABLE"),
}


class BigQueryError(Exception):
    """The request ends here, with an error.

    Attributes:
        status: The HTTP status, one of those above.
        message: What the client is told.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def error_document(error: BigQueryError) -> dict[str, Any]:
    """The body of the answer."""
    reason, status = _STATUS[error.status]
    detail = {"message": error.message, "domain": "global", "reason": reason}
    return {
        "error": {
            "code": error.status,
            "message": error.message,
            "errors": [detail],
            "status": status,
        }
    }
