"""What a decision does to the rows of an answer. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from formal_cluster_bigquery.errors import BigQueryError

_ROWS = "rows"
_SCHEMA = "schema"


def check_readable(decision: Mapping[str, Any] | None) -> None:
    """Refuse what may not be read at all.

    Raises:
        BigQueryError: The policy blocks the results, or asks for something unknown here.
    """
    action = "allow" if decision is None else decision.get("action")
    if action not in {"allow", "mask"}:
        raise BigQueryError(403, "Blocked by Formal policy.")


def needs_schema(decision: Mapping[str, Any] | None) -> bool:
    """Whether rows can only be handed out when their columns are known."""
    return decision is not None and decision.get("action") == "mask"


def with_schema(fields: str) -> str:
    """A partial answer's `fields`, with the schema among them."""
    return fields if _SCHEMA in fields.split(",") else f"{fields},{_SCHEMA}"


def apply(decision: Mapping[str, Any] | None, answer: dict[str, Any]) -> dict[str, Any]:
    """The answer as the decision lets it be seen: masked columns are NULL.

    Raises:
        BigQueryError: It may not be seen, or the columns of its rows cannot be told.
    """
    check_readable(decision)
    if decision is None or not needs_schema(decision) or not answer.get(_ROWS):
        return answer
    masked = {str(name).lower() for name in decision.get("columns", ())}
    try:
        names = [field["name"].lower() for field in answer[_SCHEMA]["fields"]]
        rows = [
            {
                "f": [
                    {"v": None} if name in masked else cell
                    for name, cell in zip(names, row["f"], strict=True)
                ]
            }
            for row in answer[_ROWS]
        ]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise BigQueryError(502, "BigQuery's answer has rows that cannot be masked.") from None
    return {**answer, _ROWS: rows}
