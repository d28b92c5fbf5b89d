"""What callers use: one namespace of the shared cache, with values of one type."""

from __future__ import annotations

from typing import Generic, TypeVar

from formal_cluster.cache.codec import Codec
from formal_cluster.cache.namespace import Namespace

V = TypeVar("V")


class Cache(Generic[V]):
    """A namespace of the cache that all instances share; from `Cluster.cache`.

    Reads come from this instance's memory, which a watch keeps coherent with the store. An instance
    reads what it has written. `peek` may be called from any thread, all else from the event loop.
    What happens while the store is away is the setting `cache.<namespace>.on_degraded`.
    """

    def __init__(self, namespace: Namespace, codec: Codec[V]) -> None:
        self._namespace = namespace
        self._encode = codec.encode
        self._decode = codec.decode
        self._peek = namespace.peek

    def peek(self, key: str) -> V | None:
        """The value from memory; None if there is none.

        Raises:
            CacheUnavailable: What is held is older than `max_stale_ms`, and `on_degraded` is
                `error`.
            CacheValueError: Somebody wrote it with another codec.
        """
        value = self._peek(key)
        return None if value is None else self._decode(value)

    async def get(self, key: str, *, fresh: bool = False) -> V | None:
        """The value; None if there is none. From memory, or from the store if that is not current.

        Args:
            fresh: Ask the store: the value is at least as new as any change that was acknowledged
                to any instance before the call.

        Raises:
            CacheUnavailable: The store does not answer, and it was asked for a fresh value or
                `on_degraded` is `error`.
            CacheValueError: Somebody wrote it with another codec.
        """
        if not fresh and self._namespace.is_current:
            return self.peek(key)
        value = await self._namespace.get(key, fresh=fresh)
        return None if value is None else self._decode(value)

    async def put(self, key: str, value: V, *, ttl: float | None = None) -> None:
        """Write an entry.

        Args:
            ttl: Seconds after which it vanishes, at the soonest. None: `ttl_seconds`.

        Raises:
            CacheUnavailable: Certainly not written, and `on_degraded` is `error`.
            OutcomeUnknown: Perhaps written.
            CacheValueError: The value is too large, or not one of the codec's.
            InputError: The key or the ttl is not valid.
        """
        await self._namespace.put(key, self._encode(value), ttl=ttl)

    async def put_if_absent(self, key: str, value: V, *, ttl: float | None = None) -> V | None:
        """Write an entry unless there is one. Of all instances that try at once, one succeeds.

        Returns:
            None if it was written, else the value that is there and stays.

        Raises: as `put`; and CacheUnavailable also if `on_degraded` is `miss`.
        """
        present = await self._namespace.put_if_absent(key, self._encode(value), ttl=ttl)
        return None if present is None else self._decode(present)

    async def delete(self, key: str) -> bool:
        """Remove an entry; whether there was one.

        Raises:
            CacheUnavailable: Certainly not removed.
            OutcomeUnknown: Perhaps removed.
            InputError: The key is not valid.
        """
        return await self._namespace.delete(key)
