"""etcd's JSON gateway: a way to the keys that shares nothing with the driver's own client."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any, Final

import aiohttp

from formal_cluster_conformance import Address

_TIMEOUT: Final = aiohttp.ClientTimeout(total=2.0)


async def ask(addresses: Iterable[Address], path: str, **request: Any) -> dict[str, Any]:
    """Call the first member that answers, e.g. `ask(addresses, "kv/range", key=…)`.

    Raises:
        ConnectionError: None answered.
    """
    errors = []
    async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
        for address in addresses:
            url = f"http://{address}/v3/{path}"
            try:
                async with session.post(url, json=request) as response:
                    answer: dict[str, Any] = await response.json()
                    response.raise_for_status()
                    return answer
            except (aiohttp.ClientError, TimeoutError) as error:
                errors.append(f"{address}: {error!r}")
    raise ConnectionError(f"no etcd answered {path}: {'; '.join(errors)}")


async def value(addresses: Iterable[Address], key: bytes) -> bytes | None:
    """A key's value, linearizably; None if there is no such key."""
    answer = await ask(addresses, "kv/range", key=base64.b64encode(key).decode())
    entries = answer.get("kvs", [])
    return base64.b64decode(entries[0].get("value", "")) if entries else None


async def compact(addresses: Iterable[Address], revision: int) -> None:
    """Discard the history before a revision."""
    await ask(addresses, "kv/compaction", revision=revision, physical=True)
