"""Which environment variables are settings, and what they set. Pure.

`FORMAL_CLUSTER_STORE__ETCD__DATA_DIR=/data` sets `store.etcd.data_dir`: below the prefix, `__`
separates the levels and case does not matter.

Hazard: Kubernetes puts `…_SERVICE_HOST`, `…_PORT=tcp://…` and the like for every Service of the
namespace into every pod. A Service named `formal-cluster` would thus look like misspelt settings,
so these are recognised and left alone.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

KeyPath = tuple[str | int, ...]
"""A place in the settings: table keys, and positions in arrays."""

PREFIX = "FORMAL_CLUSTER_"
FILE_VARIABLE = f"{PREFIX}CONFIG"
_TEST_PREFIX = f"{PREFIX}TEST_"

_SERVICE_LINK = re.compile(r"_SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)\Z|_PORT_\d+_(TCP|UDP|SCTP)(_|\Z)")
_SERVICE_URL = re.compile(r"(tcp|udp|sctp)://")


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable that is a setting."""

    name: str
    path: tuple[str, ...]
    raw: str

    @property
    def value(self) -> Any:
        """The text read as a TOML value if it is one, else the text itself."""
        try:
            document = tomllib.loads(f"value = {self.raw}")
        except (tomllib.TOMLDecodeError, RecursionError):
            return self.raw
        # A line break inside the text could have smuggled in further keys.
        return document["value"] if len(document) == 1 else self.raw


def variables(environ: Mapping[str, str]) -> list[Variable]:
    """All settings among the environment's variables, general ones before those inside them."""
    found = [
        Variable(name, tuple(name.removeprefix(PREFIX).lower().split("__")), raw)
        for name, raw in environ.items()
        if name.startswith(PREFIX) and not _is_someone_elses(name, raw)
    ]
    return sorted(found, key=lambda variable: (len(variable.path), variable.name))


def _is_someone_elses(name: str, raw: str) -> bool:
    if name == FILE_VARIABLE or name.startswith(_TEST_PREFIX):
        return True
    return "__" not in name and bool(
        _SERVICE_LINK.search(name) or (name.endswith("_PORT") and _SERVICE_URL.match(raw))
    )


def variable_name(path: Iterable[str | int]) -> str:
    """The variable that sets a key: the inverse of a `Variable`'s path."""
    return PREFIX + "__".join(str(part).replace("-", "_").upper() for part in path)


def nearest_variable(variable: Variable, keys: Iterable[KeyPath]) -> str | None:
    """The variable of one of `keys` that an unknown one was most likely meant to be."""
    names = [variable_name(key) for key in keys]
    return next(iter(difflib.get_close_matches(variable.name.upper(), names, n=1)), None)


def as_spelt(segment: str, names: Iterable[str]) -> str:
    """The name among `names` that a segment means; variables cannot spell a hyphen."""
    return next((name for name in names if name.replace("-", "_") == segment), segment)


def overlay(tree: dict[str, Any], variable: Variable) -> str | None:
    """Set a variable's value in `tree`; what is wrong, if that is impossible."""
    *parents, last = variable.path
    table = tree
    for depth, parent in enumerate(parents, start=1):
        inner = table.setdefault(parent, {})
        if not isinstance(inner, dict):
            whole = variable_name(variable.path[:depth])
            return f"{'.'.join(variable.path[:depth])} is not a table; set {whole} as a whole"
        table = inner
    table[last] = variable.value
    return None
