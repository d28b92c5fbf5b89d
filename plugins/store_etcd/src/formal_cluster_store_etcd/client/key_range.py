"""A key prefix as etcd's half-open key range."""

from __future__ import annotations


def key_range(prefix: bytes) -> tuple[bytes, bytes]:
    """First key and end of the range of all keys that start with `prefix`; b"" means every key."""
    kept = prefix.rstrip(b"\xff")
    end = kept[:-1] + bytes([kept[-1] + 1]) if kept else b"\0"
    return prefix or b"\0", end
