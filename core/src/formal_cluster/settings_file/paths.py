"""Relative paths in a settings file are meant from the file's directory, not the process's."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from formal_cluster.settings_file.env import KeyPath
from formal_cluster.settings_file.sources import Sources

M = TypeVar("M", bound=BaseModel)

_STANDARD_STREAM = Path("-")


def anchored(instance: M, at: KeyPath, sources: Sources) -> M:
    """`instance` with every relative `Path` that the file gives made relative to the file.

    Defaults and environment variables keep theirs. A command that is looked up on PATH must
    therefore be a `str` field, not a `Path`.
    """
    if sources.file is None:
        return instance
    changed = {
        name: _anchored_value(getattr(instance, name), (*at, field.alias or name), sources)
        for name, field in type(instance).model_fields.items()
        if name in instance.model_fields_set
    }
    return instance.model_copy(update=changed)


def _anchored_value(value: Any, path: KeyPath, sources: Sources) -> Any:
    if isinstance(value, BaseModel):
        return anchored(value, path, sources)
    if isinstance(value, tuple):
        items = (_anchored_value(item, (*path, i), sources) for i, item in enumerate(value))
        return tuple(items)
    is_path = isinstance(value, Path) and value != _STANDARD_STREAM
    if is_path and sources.file and sources.is_from_file(path):
        return sources.file.parent / value
    return value
