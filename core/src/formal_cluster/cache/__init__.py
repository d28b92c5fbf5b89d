"""The shared cache: small values that one instance writes and every instance reads.

    keys.py        where entries are kept in the store (pure)
    near.py        what this instance holds, as a function of what it heard and wrote (pure)
    codec.py       from a caller's values to bytes and back
    condition.py   does the store serve?
    follower.py    one watch for all namespaces keeps the near cache coherent
    evictor.py     deletes what is too much
    handover.py    gives the store what was written while it was away
    cache.py       what callers use: one namespace, one type of value
    shared.py      wires these together

Reads come from memory, writes go through the store. `docs/shared-cache.md` says what that means.
"""

from formal_cluster.cache.cache import Cache
from formal_cluster.cache.codec import BYTES, JSON_VALUE, TEXT, Codec, of_type
from formal_cluster.cache.shared import SharedCache

__all__ = ["BYTES", "JSON_VALUE", "TEXT", "Cache", "Codec", "SharedCache", "of_type"]
