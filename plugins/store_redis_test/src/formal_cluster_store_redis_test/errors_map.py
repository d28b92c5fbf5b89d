"""What a refusal by Redis means for the caller, and what to do about it. Pure.

The rule for a write: it is `Unavailable` or `NotWritable` only if Redis certainly did not apply it;
every doubt is `OutcomeUnknown`.
"""

from __future__ import annotations

from typing import Final

from formal_cluster.errors import NotWritable, OutcomeUnknown, StoreError, Unavailable

_UNTIL_MENDED: Final = {
    "READONLY": "it has become a replica: point store.redis-test.url to the server it follows",
    "OOM": "its memory is full: raise maxmemory, delete keys, or keep less history",
    "MISCONF": "it cannot write to its disk: free space or correct its directory, see its log",
    "NOREPLICAS": "too few replicas follow it: start them, or lower min-replicas-to-write",
    "NOAUTH": "set store.redis-test.password",
    "WRONGPASS": "correct store.redis-test.password, or the user in store.redis-test.url",
    "NOPERM": "allow this user EVALSHA, EVAL, XREAD, INFO and HMGET, and the commands in the "
    "driver's scripts, on keys below store.redis-test.key_prefix",
}
_NOT_NOW: Final = {
    "LOADING": "it is reading its data; wait",
    "BUSY": "a script is running for long; wait, or end it with SCRIPT KILL",
    "MASTERDOWN": "it is a replica that has lost its master",
    "OTHERSTORE": "read anew, and decide on what is there now",
    "ERR max number of clients reached": "raise maxclients",
}


class Refused(Unavailable):
    """The server will not serve until an operator acts."""


def until_mended(said: str) -> str | None:
    """What an operator has to do about the answer `said`; None if that would not help."""
    return _UNTIL_MENDED.get(_code(said))


def map_refusal(said: str, *, where: str, write: bool) -> StoreError:
    """The error to raise for an error that Redis answered with.

    Args:
        said: The answer, its code first.
        where: The server, for the message.
        write: Whether the request could change something.
    """
    message = f"Redis at {where}: {said}"
    if (mend := until_mended(said)) is not None:
        return (NotWritable if write else Unavailable)(f"{message}; {mend}")
    for beginning, remark in _NOT_NOW.items():
        if said.startswith(beginning):
            return Unavailable(f"{message}; {remark}")
    if write:
        # A script that fails half-way is not rolled back.
        return OutcomeUnknown(f"{message}; it may have been applied, read the key to know")
    return Unavailable(message)


def _code(said: str) -> str:
    return said.partition(" ")[0]
