"""Validate a table of the settings against its class; every problem becomes one sentence. Pure.

Used for core's own settings and, by `plugins`, for each driver's table, so that both are reported
alike: where it is written, which key, what is wrong, and the nearest valid key.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from formal_cluster.errors import ConfigError
from formal_cluster.settings_file.env import KeyPath, Variable, variable_name
from formal_cluster.settings_file.keys import field_at, holds_driver_tables, meant_key, sibling_keys
from formal_cluster.settings_file.paths import anchored
from formal_cluster.settings_file.sources import Sources

M = TypeVar("M", bound=BaseModel)

_LONGEST_VALUE_SHOWN = 60

_TOML_TERMS = {
    "dict_type": "should be a table",
    "list_type": "should be an array",
    "missing": "is required and missing",
    "model_type": "should be a table",
    "path_type": "should be a string, the path of a file",
    "tuple_type": "should be an array",
}


def validated(model: type[M], table: Mapping[str, Any], at: KeyPath, sources: Sources) -> M:
    """The table as an instance of `model`; relative paths written in the file start there.

    Args:
        at: Keys that lead to the table, () for the whole settings.

    Raises:
        ConfigError: The table does not fit. One line per problem.
    """
    outcome = _try_variables_as_text(model, table, at, sources)
    if isinstance(outcome, list):
        raise ConfigError("\n".join(_sentence(model, detail, at, sources) for detail in outcome))
    return anchored(outcome, at, sources)


def problem(path: KeyPath, text: str, sources: Sources) -> str:
    """One problem as a sentence: where it is, which key, what is wrong."""
    if variable := sources.variable(path):
        inside = dotted(path[len(variable.path) :])
        return f"{variable.name}: {inside}: {text}" if inside else f"{variable.name}: {text}"
    where = sources.where(path)
    return f"{where}: {dotted(path)}: {text}" if where else f"{dotted(path)}: {text}"


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """`; did you mean …?` with the nearest candidate, or nothing when none is near."""
    near = difflib.get_close_matches(name, list(candidates), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def dotted(path: Iterable[str | int]) -> str:
    """`counter[0].grade` for ("counter", 0, "grade")."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _try_variables_as_text(
    model: type[M], table: Mapping[str, Any], at: KeyPath, sources: Sources
) -> M | list[ErrorDetails]:
    """Validate; a variable whose TOML value the schema refuses is tried again as plain text."""
    first = _attempt(model, table)
    if not isinstance(first, list):
        return first

    def culprit(detail: ErrorDetails) -> Variable | None:
        variable = sources.variable((*at, *detail["loc"]))
        return variable if variable and len(variable.path) > len(at) else None

    refused = {variable for detail in first if (variable := culprit(detail))}
    as_text = dict(table)
    for variable in refused:
        as_text = _replaced(as_text, variable.path[len(at) :], variable.raw)
    second = _attempt(model, as_text)
    if not isinstance(second, list):
        return second
    # Where neither reading fits, speak of the TOML value: that is most likely what was meant.
    hopeless = {culprit(detail) for detail in second} & refused
    return [detail for detail in first if culprit(detail) in hopeless] + [
        detail for detail in second if culprit(detail) not in refused
    ]


def _attempt(model: type[M], table: Mapping[str, Any]) -> M | list[ErrorDetails]:
    try:
        return model.model_validate(table)
    except ValidationError as error:
        return error.errors(include_url=False)


def _replaced(table: Mapping[str, Any], path: tuple[str, ...], value: str) -> dict[str, Any]:
    first, *rest = path
    return {**table, first: _replaced(table[first], tuple(rest), value) if rest else value}


def _sentence(model: type[BaseModel], detail: ErrorDetails, at: KeyPath, sources: Sources) -> str:
    loc: KeyPath = detail["loc"]
    if detail["type"] == "extra_forbidden":
        return problem((*at, *loc), _unknown_key(model, loc, at, sources), sources)
    message = detail["msg"]
    for opening in ("Value error, ", "Input ", "String "):
        message = message.removeprefix(opening)
    text = _TOML_TERMS.get(detail["type"], " ".join(message.split()))
    field = field_at(model, loc)
    is_secret = field is not None and "Secret" in repr(field.annotation)
    if _worth_showing(detail) and not is_secret:
        text += f", not {json.dumps(detail['input'])[:_LONGEST_VALUE_SHOWN]}"
    return problem((*at, *loc), text, sources)


def _worth_showing(detail: ErrorDetails) -> bool:
    explains_itself = detail["type"] in {"missing", "value_error"}
    return not explains_itself and isinstance(detail["input"], bool | int | float | str)


def _unknown_key(model: type[BaseModel], loc: KeyPath, at: KeyPath, sources: Sources) -> str:
    if meant := meant_key(model, loc):
        path = (*at, *meant)
        by_variable = sources.variable((*at, *loc)) is not None
        return f"unknown key; did you mean {variable_name(path) if by_variable else dotted(path)}?"
    if holds_driver_tables(model, loc[:-1]):
        section = dotted(loc[:-1])
        return f"unknown key; a driver's settings are written below [{section}.<driver>]"
    siblings = sibling_keys(model, loc)
    return f"unknown key; known here: {', '.join(siblings)}" if siblings else "unknown key"
