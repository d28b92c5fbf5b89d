"""Where the shared cache is kept in the store, below the cluster's prefix. Pure.

    cache/<namespace>/<key>      one entry: the value's bytes

Counters are kept below `log/` and `snapshot/`; nothing that writes or deletes here reaches them.
A key may hold any characters, `/` too.
"""

from __future__ import annotations

from formal_cluster.errors import InputError

LONGEST_KEY_BYTES = 1_024


class CacheKeys:
    """The names of keys below one prefix."""

    def __init__(self, prefix: bytes) -> None:
        self.all = prefix + b"cache/"

    def entry(self, namespace: str, key: str) -> bytes:
        """The store's key of an entry.

        Raises:
            InputError: The key is empty, too long, or no valid text.
        """
        try:
            encoded = key.encode()
        except UnicodeEncodeError as error:
            raise InputError(
                f"the cache key {key!r} is not valid text: {error.reason}", code="invalid_key"
            ) from None
        if not 0 < len(encoded) <= LONGEST_KEY_BYTES:
            raise InputError(
                f"a cache key has 1 to {LONGEST_KEY_BYTES} bytes, not {len(encoded)}; "
                "use a digest of what is longer",
                code="invalid_key",
            )
        return b"%s%s/%s" % (self.all, namespace.encode(), encoded)

    def split(self, key: bytes) -> tuple[str, str] | None:
        """The inverse of `entry`; None for what no instance writes."""
        try:
            namespace, _, name = key[len(self.all) :].decode().partition("/")
        except UnicodeDecodeError:
            return None
        return (namespace, name) if name else None
