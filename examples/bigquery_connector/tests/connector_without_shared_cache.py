"""The mutant: a connector that remembers jobs in its own memory only. Nothing else differs."""

from __future__ import annotations

from typing import Any

from formal_cluster.cluster import Cluster
from formal_cluster_bigquery.connector import main


class OwnMemory:
    """What `Jobs` uses of a cache, for one process."""

    def __init__(self) -> None:
        self._entries: dict[str, Any] = {}

    async def get(self, key: str, *, fresh: bool = False) -> Any:
        """Fresh or not makes no difference here."""
        return self._entries.get(key)

    async def put_if_absent(self, key: str, value: Any) -> Any:
        """The one that is there, or None."""
        present = self._entries.get(key)
        self._entries.setdefault(key, value)
        return present


if __name__ == "__main__":
    own_memory = OwnMemory()
    Cluster.cache = lambda _self, _namespace, _codec: own_memory  # type: ignore[method-assign]
    main()
