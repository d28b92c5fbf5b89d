"""Whether the suite that runs is the suite that was installed.

A rule can be replaced without touching a file: by another function under its name, or by hollowing
out what it calls. That is told in the report. It is no protection against somebody who means to
deceive; it keeps a patch that was made in passing from going unnoticed.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, Final

_PACKAGE: Final = __name__.rpartition(".")[0]


def replaced() -> tuple[str, ...]:
    """The functions and methods of the loaded suite that are not those of its files."""
    found: list[str] = []
    for name, module in sorted(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file is None or not f"{name}.".startswith(f"{_PACKAGE}."):
            continue
        found += [
            ".".join([name.removeprefix(f"{_PACKAGE}."), *path])
            for path in _defined(Path(file))
            if not _is_from(Path(file), _found(module, path))
        ]
    return tuple(found)


def _defined(file: Path) -> Iterator[tuple[str, ...]]:
    """The functions of a file, and the methods of its classes."""
    for outer in _codes(compile(file.read_bytes(), file, "exec", dont_inherit=True)):
        if outer.co_flags & inspect.CO_NEWLOCALS:
            yield (outer.co_name,)
        else:  # the body of a class
            yield from ((outer.co_name, inner.co_name) for inner in _codes(outer))


def _codes(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType) and constant.co_name.isidentifier():
            yield constant


def _found(module: Any, path: tuple[str, ...]) -> Any:
    found = module
    for name in path:
        found = vars(found).get(name)
        if found is None:
            return None
    return found


def _is_from(file: Path, found: Any) -> bool:
    if isinstance(found, property):
        found = found.fget
    if isinstance(found, classmethod | staticmethod):
        found = found.__func__
    found = getattr(found, "callback", found)  # a command of click's
    innermost = inspect.unwrap(found) if callable(found) else found
    if not isinstance(innermost, FunctionType):
        return found is not None and not callable(found)
    return Path(innermost.__code__.co_filename) == file
