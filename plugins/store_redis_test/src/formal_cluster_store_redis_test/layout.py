"""The names of a store's Redis keys. Pure. `lua/prelude.lua` says what they hold."""

from __future__ import annotations

from typing import Final

_KEYS: Final = ("meta", "names", "values", "revisions", "deadlines", "log", "ages")


class Layout:
    """The Redis keys below one prefix, in the order in which scripts take them."""

    def __init__(self, prefix: str) -> None:
        self.keys: Final = tuple(f"{prefix}{key}".encode() for key in _KEYS)

    @property
    def meta(self) -> bytes:
        """The hash with what is known of the store as a whole."""
        return self.keys[_KEYS.index("meta")]

    @property
    def values(self) -> bytes:
        """The hash with the value of each key."""
        return self.keys[_KEYS.index("values")]

    @property
    def log(self) -> bytes:
        """The stream of changes."""
        return self.keys[_KEYS.index("log")]
