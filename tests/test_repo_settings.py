"""Every setting says what it means: the descriptions are the reference that users get."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel

from formal_cluster.plugins import PluginManager, PluginStatus
from formal_cluster.settings import Settings


def tables(annotation: Any) -> Iterator[type[BaseModel]]:
    """The settings classes that an annotation names, also inside of tuples and unions."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from tables(field.annotation)
    for argument in get_args(annotation):
        yield from tables(argument)


def unexplained(table: type[BaseModel]) -> list[str]:
    return [
        f"{table.__module__}.{table.__name__}.{name}"
        for name, field in table.model_fields.items()
        if not (field.description or field.json_schema_extra or list(tables(field.annotation)))
    ]


def test_every_setting_of_core_and_of_each_driver_is_explained():
    manager = PluginManager(Settings())
    plugins = manager.inventory(import_all=True)
    assert {} == {p.id: p.detail for p in plugins if p.status is not PluginStatus.LOADED}
    drivers = [manager.load(plugin.family, plugin.name).settings_class for plugin in plugins]
    found = {table for root in (Settings, *drivers) for table in tables(root)}
    assert [] == sorted(name for table in found for name in unexplained(table))
