"""The Lua scripts by which Redis changes and reads a store, each atomically."""

from __future__ import annotations

import hashlib
from importlib import resources
from typing import Final


class Script:
    """A script, as Redis takes it.

    Attributes:
        source: The whole text.
        sha: The name that Redis knows it by, once it has seen it.
    """

    def __init__(self, name: str) -> None:
        self.name: Final = name
        flags, _, body = _read(name).partition("\n")
        self.source: Final = f"{flags}\n{_read('prelude')}{body}".encode()
        self.sha: Final = hashlib.sha1(self.source, usedforsecurity=False).hexdigest()


def _read(name: str) -> str:
    return (resources.files(__package__) / "lua" / f"{name}.lua").read_text(encoding="utf-8")


OPEN: Final = Script("open")
GET: Final = Script("get")
PUT: Final = Script("put")
DELETE: Final = Script("delete")
PAGE: Final = Script("page")
CHANGES: Final = Script("changes")
STATE: Final = Script("state")
SWEEP: Final = Script("sweep")
WRITABLE: Final = Script("writable")
