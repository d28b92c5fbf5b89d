"""Walk a settings class by keys: which keys exist, and which one a misspelt key was meant to be.

Pure.
"""

from __future__ import annotations

import difflib
import typing
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from formal_cluster.settings_file.env import KeyPath

DRIVER_TABLES = "options"
"""Field in which a section of `settings` keeps its drivers' tables; not a key of the file."""


def fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a settings class by the key that a file sets them with."""
    return {
        field.alias or name: field
        for name, field in model.model_fields.items()
        if name != DRIVER_TABLES
    }


def meant_key(model: type[BaseModel], loc: KeyPath) -> KeyPath | None:
    """The key nearest to the unknown one at `loc`: a sibling, or its namesake in another table."""
    name = str(loc[-1])
    near = difflib.get_close_matches(name, sibling_keys(model, loc), n=1)
    if near:
        return (*loc[:-1], near[0])
    return next((key for key in all_keys(model) if key[-1] == name), None)


def all_keys(model: type[BaseModel], at: KeyPath = ()) -> Iterator[KeyPath]:
    """Every key below `at`, tables included."""
    for key, field in fields(model).items():
        yield (*at, key)
        inner = _model_in(field.annotation)
        if inner is not None and not _is_by_name(field.annotation):
            yield from all_keys(inner, (*at, key))


def sibling_keys(model: type[BaseModel], loc: KeyPath) -> list[str]:
    """The keys that the table around `loc` may have."""
    parent = model_at(model, loc[:-1])
    return list(fields(parent)) if parent else []


def holds_driver_tables(model: type[BaseModel], loc: KeyPath) -> bool:
    """Whether the table at `loc` is a section with drivers, such as `[store]`."""
    section = model_at(model, loc)
    return section is not None and DRIVER_TABLES in section.model_fields


def field_at(model: type[BaseModel], loc: KeyPath) -> FieldInfo | None:
    """The field that the value at `loc`, or the array around it, belongs to."""
    *parents, last = [part for part in loc if isinstance(part, str)] or [""]
    parent = model_at(model, tuple(parents))
    return fields(parent).get(last) if parent else None


def model_at(model: type[BaseModel], loc: KeyPath) -> type[BaseModel] | None:
    """The class of the table at `loc`; None where the class does not say."""
    current: type[BaseModel] | None = model
    named: type[BaseModel] | None = None  # the class of the tables whose names come next
    for name in (part for part in loc if isinstance(part, str)):
        if named is not None:
            current, named = named, None
            continue
        field = fields(current).get(name) if current else None
        current = _model_in(field.annotation) if field else None
        if field is not None and _is_by_name(field.annotation):
            current, named = None, current
    return current


def _is_by_name(annotation: Any) -> bool:
    """Whether it is a table of tables whose names the user gives, such as `[cache.<name>]`."""
    return typing.get_origin(annotation) is dict


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inside = (_model_in(argument) for argument in typing.get_args(annotation))
    return next((model for model in inside if model is not None), None)
