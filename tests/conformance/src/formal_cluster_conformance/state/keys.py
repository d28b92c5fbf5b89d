"""Rules: reading, writing and deleting single keys; what keys and values may be."""

from __future__ import annotations

from formal_cluster.model import Capability, Entry
from formal_cluster_conformance.bed import Bed, expect, holds
from formal_cluster_conformance.rules import rule

_ANY_BYTE = bytes(range(256))


@rule("ST-GET-01", "A key that was never written is read as None.")
async def never_written(bed: Bed) -> None:
    """Nothing is there."""
    store = await bed.store()
    expect(None, await store.get(bed.key()), "reading a key that was never written")


@rule("ST-PUT-01", "A key that was written is read with its value and the revision of the write.")
async def written_is_read(bed: Bed) -> None:
    """Twice: the second write replaces the first."""
    store, key = await bed.store(), bed.key()
    for value in (b"1", b"2"):
        revision = await store.put(key, value)
        expect(Entry(key, value, revision), await store.get(key), "reading what was written")


@rule("ST-PUT-02", "Every change has a revision larger than that of every change before it.")
async def revisions_grow(bed: Bed) -> None:
    """Over several keys, deletions included."""
    store = await bed.store()
    latest = 0
    for number in range(bed.size(30, 200)):
        key = bed.key(str(bed.random.randrange(4)))
        revision: int | None
        if bed.random.random() < 0.3:
            revision = await store.delete(key)
            if revision is None:
                continue
        else:
            revision = await store.put(key, str(number).encode())
        holds(revision > latest, f"a change has revision {revision}, the one before it {latest}")
        latest = revision


@rule(
    "ST-PUT-03",
    "What one instance was told is written, every other instance reads at once.",
    needs=[Capability.SHARED, Capability.LINEARIZABLE_READS],
    instances=2,
)
async def others_read_at_once(bed: Bed) -> None:
    """To and fro."""
    one, other = await bed.two()
    for number in range(bed.size(20, 200)):
        writer, reader = (one, other) if number % 2 else (other, one)
        value = str(number).encode()
        revision = await writer.put(bed.key(), value)
        expect(
            Entry(bed.key(), value, revision),
            await reader.get(bed.key()),
            "reading through another instance what has just been written",
        )


@rule("ST-PUT-04", "What was acknowledged is in the backing system, looked at without the driver.")
async def probed(bed: Bed) -> None:
    """Neither a cache of the driver's nor a write that is under way."""
    store = await bed.store()
    expect(None, await bed.probe(bed.key()), "the key in the backing system before the write")
    await store.put(bed.key(), b"value")
    expect(b"value", await bed.probe(bed.key()), "the key in the backing system after the write")
    await store.delete(bed.key())
    expect(None, await bed.probe(bed.key()), "the key in the backing system after its deletion")


@rule("ST-VALUE-01", "Values may be empty and hold any byte; an empty value is not a missing key.")
async def any_value(bed: Bed) -> None:
    """Read and listed alike."""
    store = await bed.store()
    values = {b"empty": b"", b"bytes": _ANY_BYTE, b"nul": b"\0", b"not utf-8": b"\xff\xfe"}
    for name, value in values.items():
        await store.put(bed.key(name), value)
    for name, value in values.items():
        entry = await store.get(bed.key(name))
        expect(value, entry and entry.value, f"the value {name.decode()}")
    listing = await store.list(bed.prefix)
    expect(
        {bed.key(name): value for name, value in values.items()},
        {entry.key: entry.value for entry in listing.entries},
        "the values in a listing",
    )


@rule("ST-VALUE-02", "A value of the largest size that the declaration names is kept whole.")
async def large_value(bed: Bed) -> None:
    """Not a byte is lost."""
    store = await bed.store()
    value = bed.random.randbytes(bed.declaration.largest_value)
    await store.put(bed.key(), value)
    entry = await store.get(bed.key())
    holds(entry is not None and entry.value == value, f"a value of {len(value)} bytes is not kept")
    listing = await store.list(bed.prefix)
    holds(
        [value] == [entry.value for entry in listing.entries],
        f"a value of {len(value)} bytes is not listed whole",
    )
    await store.delete(bed.key())


@rule("ST-KEY-01", "Keys may hold any byte and differ in any byte; none is taken for another.")
async def any_key(bed: Bed) -> None:
    """Bytes that texts, patterns and paths give a meaning."""
    store = await bed.store()
    names = [_ANY_BYTE, b"", b"a", b"A", b"a\0", b"a/", b"a//", b"a*", b"a?", b"[a]", b"\xff"]
    names += [b"\xff\xff", b"a b", b"a%20b", b"\xc3\xa4", b"a\xcc\x88", b"x" * 500]
    for number, name in enumerate(names):
        await store.put(bed.key(name), str(number).encode())
    for number, name in enumerate(names):
        entry = await store.get(bed.key(name))
        expect(str(number).encode(), entry and entry.value, f"the value of key {name!r}")
    listing = await store.list(bed.prefix)
    expect(
        sorted(bed.key(name) for name in names),
        [entry.key for entry in listing.entries],
        "the keys of a listing",
    )


@rule("ST-DEL-01", "A deleted key is gone, and its deletion has a revision of its own.")
async def deleted(bed: Bed) -> None:
    """It can be written anew."""
    store = await bed.store()
    written = await store.put(bed.key(), b"v")
    removed = await store.delete(bed.key())
    holds(
        removed is not None and removed > written,
        f"a deletion has revision {removed!r}, the write before it {written}",
    )
    expect(None, await store.get(bed.key()), "reading a deleted key")
    expect((), (await store.list(bed.prefix)).entries, "listing a deleted key")
    revision = await store.put(bed.key(), b"w")
    expect(Entry(bed.key(), b"w", revision), await store.get(bed.key()), "writing it anew")


@rule("ST-DEL-02", "Deleting a key that does not exist returns None and changes nothing.")
async def deleting_nothing(bed: Bed) -> None:
    """Other keys are left alone, too."""
    store = await bed.store()
    revision = await store.put(bed.key("a"), b"v")
    for name in ("", "a/", "A", "b"):
        expect(None, await store.delete(bed.key(name)), "deleting a key that does not exist")
    entries = (await store.list(bed.prefix)).entries
    expect((Entry(bed.key("a"), b"v", revision),), entries, "the keys after deleting others")
