"""The JSON Schema of a settings file, the tables of given drivers included. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from formal_cluster.hookspecs import FAMILIES
from formal_cluster.settings import Settings
from formal_cluster.settings_file.keys import DRIVER_TABLES

DriverClasses = Mapping[tuple[str, str], type[BaseModel]]
"""Settings classes by the family and name of the driver."""


def settings_schema(drivers: DriverClasses) -> dict[str, Any]:
    """The schema of the whole file. A driver's table is allowed for exactly the given drivers."""
    models: set[type[BaseModel]] = {Settings, *drivers.values()}
    references, schema = models_json_schema([(model, "validation") for model in models])
    definitions = schema["$defs"]
    root = definitions.pop(_name(references[Settings, "validation"]))
    for name, section in root["properties"].items():
        if "$ref" in section:
            del section["default"]  # its keys have their own
        if name in FAMILIES:
            tables = definitions[_name(section)]["properties"]
            del tables[DRIVER_TABLES]
            tables |= {
                driver: references[settings_class, "validation"]
                for (family, driver), settings_class in drivers.items()
                if family == name
            }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **root, **schema}


def _name(reference: Mapping[str, str]) -> str:
    return reference["$ref"].rpartition("/")[2]
