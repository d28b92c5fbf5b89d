"""From a caller's values to bytes and back.

A value is decoded at each read, so what a reader changes in it is its own.
"""

from __future__ import annotations

from typing import Any, Final, Protocol, TypeVar

import msgspec

from formal_cluster.errors import CacheValueError
from formal_cluster.model import JSON

V = TypeVar("V")


class Codec(Protocol[V]):
    """How the values of a namespace are written. All instances must use the same one."""

    def encode(self, value: V) -> bytes:
        """The bytes to store.

        Raises:
            CacheValueError: The value is not one of this codec's.
        """
        ...

    def decode(self, data: bytes) -> V:
        """The inverse of `encode`.

        Raises:
            CacheValueError: Somebody wrote it with another codec.
        """
        ...


class _Bytes:
    def encode(self, value: bytes) -> bytes:
        if not isinstance(value, bytes):
            raise CacheValueError(
                f"this cache holds bytes, not {type(value).__name__}; name a codec for it"
            )
        return value

    def decode(self, data: bytes) -> bytes:
        return data


class _Text:
    def encode(self, value: str) -> bytes:
        if not isinstance(value, str):
            raise CacheValueError(f"this cache holds text, not {type(value).__name__}")
        try:
            return value.encode()
        except UnicodeEncodeError as error:
            raise CacheValueError(f"the text cannot be encoded: {error.reason}") from None

    def decode(self, data: bytes) -> str:
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise CacheValueError(f"the entry is not text: {error.reason}") from None


class _Json:
    """JSON of values of one type, checked when they are read."""

    def __init__(self, of: Any) -> None:
        self._encode = msgspec.json.Encoder().encode
        self._decode = msgspec.json.Decoder(of).decode

    def encode(self, value: Any) -> bytes:
        try:
            return self._encode(value)
        except (TypeError, OverflowError, RecursionError, UnicodeEncodeError) as error:
            raise CacheValueError(f"the value cannot be written as JSON: {error}") from error

    def decode(self, data: bytes) -> Any:
        try:
            return self._decode(data)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise CacheValueError(
                f"the entry is not JSON of the expected kind: {error}; do all instances use the "
                "same codec?"
            ) from error


BYTES: Final[Codec[bytes]] = _Bytes()
TEXT: Final[Codec[str]] = _Text()
JSON_VALUE: Final[Codec[JSON]] = _Json(Any)
"""Any JSON value."""


def of_type(kind: type[V]) -> Codec[V]:
    """JSON of one type: a `msgspec.Struct`, a dataclass, a `dict[str, int]`, …"""
    return _Json(kind)
