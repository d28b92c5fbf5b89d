"""Subjects and their hits as short bytes: what is not in use, and what is in a snapshot.

A subject is a msgpack array of its parts. Hits begin with the time of the newest in seven bytes and
one that says what follows: the ages of all before it as a msgpack array, or, if there are spans or
several hits of one millisecond, an array of such arrays for the ends, the counts and the
beginnings. Three hits of a minute are 15 bytes, and so a Python object of 48: a byte more, and it
would take 64.

The newest comes first and sorts as bytes do, so that expired hits are found without unpacking:
they are less than `oldest_kept(…)`. No hits at all are no bytes, and less than anything.

The snapshots' format has this in it: changes here need a new `snapshot.VERSION`.
"""

from __future__ import annotations

from struct import Struct
from zlib import crc32

import msgspec

from formal_cluster.counters.windows import Hits, HitsData

SHARDS = 1_024
"""Into how many parts each counter's subjects are split. A power of two."""

_HEAD = Struct(">Q")
_OLD_HEAD = Struct(">QB")
_BIAS = 1 << 52
"""Added to times, so that negative ones sort before others."""
_ONES, _ANY = 0, 1


class _Lists(msgspec.Struct, array_like=True):
    lasts: list[int]
    counts: list[int]
    firsts: list[int]


_encode = msgspec.msgpack.Encoder().encode
_decode_ages = msgspec.msgpack.Decoder(list[int]).decode
_decode_lists = msgspec.msgpack.Decoder(_Lists).decode
_decode_subject = msgspec.msgpack.Decoder(tuple[str, ...]).decode


def pack_subject(subject: tuple[str, ...]) -> bytes:
    """The subject of a key.

    Raises:
        UnicodeEncodeError: It has a lone surrogate, so it cannot be in the log either.
    """
    return _encode(subject)


def unpack_subject(packed: bytes) -> tuple[str, ...]:
    """The inverse of `pack_subject`."""
    return _decode_subject(packed)


def shard_of(packed: bytes) -> int:
    """The number of the shard that a packed subject belongs to; the same in every process."""
    return crc32(packed) & (SHARDS - 1)


def pack_hits(hits: Hits) -> bytes:
    """Everything that is held, also if it is older than any window."""
    lasts = hits.lasts
    if not lasts:
        return b""
    newest = lasts[-1]
    ages = [newest - last for last in lasts]
    if hits.total == len(lasts) and not hits.firsts:
        return _head(newest, _ONES) + _encode(ages[:-1])
    lists = _Lists(ages, hits.counts, [newest - first for first in hits.firsts])
    return _head(newest, _ANY) + _encode(lists)


def unpack_hits(packed: bytes) -> Hits:
    """The inverse of `pack_hits`."""
    hits = Hits()
    if not packed:
        return hits
    (head,) = _HEAD.unpack_from(packed)
    newest, form = (head >> 8) - _BIAS, head & 0xFF
    content = packed[_HEAD.size :]
    if form == _ONES:
        hits.lasts = [newest - age for age in _decode_ages(content)]
        hits.lasts.append(newest)
        hits.total = len(hits.lasts)
        hits.counts = [1] * hits.total
        hits.since = hits.lasts[0]
    else:
        lists = _decode_lists(content)
        firsts, lasts = ([newest - age for age in ages] for ages in (lists.firsts, lists.lasts))
        hits.replace(HitsData(firsts, lasts, lists.counts))
    return hits


def oldest_kept(until: int) -> bytes:
    """What packed hits are less than if and only if none of them is later than `until`."""
    return _head(until + 1, 0)


def repack_hits(packed: bytes) -> bytes:
    """From what snapshots of version 2 had: an eighth byte of time, and the newest's age of 0."""
    if not packed:
        return packed
    newest, form = _OLD_HEAD.unpack_from(packed)
    content = packed[_OLD_HEAD.size :]
    if form == _ONES:
        content = _encode(_decode_ages(content)[:-1])
    return _head(newest - _BIAS, form) + content


def _head(newest: int, form: int) -> bytes:
    return _HEAD.pack(newest + _BIAS << 8 | form)
