"""What is well-formed in the settings and yet cannot be meant. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from formal_cluster.settings import CacheSettings, CounterSettings, Settings
from formal_cluster.settings_file.check import problem
from formal_cluster.settings_file.env import KeyPath
from formal_cluster.settings_file.sources import Sources

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_INPUT_PATH = re.compile(rf"{_NAME.pattern}(\.{_NAME.pattern})*")
_ANY_ENTITY = "*"
_NAMESPACE = re.compile(r"[a-z][a-z0-9_]{0,62}")


def contradictions(settings: Settings, sources: Sources) -> list[str]:
    """Each contradiction as a sentence."""
    found = [
        *_repeated_drivers(settings),
        *_counters(settings.counter),
        *_caches(settings.cache),
    ]
    return [problem(path, text, sources) for path, text in found]


def _repeated_drivers(settings: Settings) -> Iterator[tuple[KeyPath, str]]:
    for section, drivers in (
        ("discovery", settings.discovery.drivers),
        ("enrichment", settings.enrichment.drivers),
    ):
        for name in sorted({name for name in drivers if drivers.count(name) > 1}):
            yield (section, "drivers"), f"{name!r} is named more than once"


def _counters(counters: tuple[CounterSettings, ...]) -> Iterator[tuple[KeyPath, str]]:
    first_of: dict[tuple[str, str], int] = {}
    for index, counter in enumerate(counters):
        at: KeyPath = ("counter", index)
        first = first_of.setdefault((counter.name, counter.entity), index)
        if first != index:
            yield at, f"{counter.name} of {counter.entity} is counter[{first}] already"
        if not _NAME.fullmatch(counter.name):
            yield (*at, "name"), f"{counter.name!r} cannot be a field of the policy's input"
        if counter.entity != _ANY_ENTITY and not _NAME.fullmatch(counter.entity):
            yield (
                (*at, "entity"),
                f"{counter.entity!r} is neither one field of the policy's input nor *",
            )
        if not counter.stages:
            yield (*at, "stages"), "it would never count; name a stage or leave the key out"
        for position, path in enumerate(counter.subject):
            if not _INPUT_PATH.fullmatch(path):
                yield (
                    (*at, "subject", position),
                    f"{path!r} is not a path in the policy's input such as user or user.id",
                )
            if path in counter.subject[:position]:
                yield (*at, "subject", position), f"{path!r} is in the subject already"


def _caches(caches: Mapping[str, CacheSettings]) -> Iterator[tuple[KeyPath, str]]:
    for name, cache in caches.items():
        if not _NAMESPACE.fullmatch(name):
            yield (
                ("cache", name),
                f"{name!r} is no namespace; use up to 63 of a-z, 0-9 and _, a letter first",
            )
        if cache.max_value_bytes > cache.max_bytes:
            yield ("cache", name, "max_bytes"), "it is smaller than max_value_bytes"
