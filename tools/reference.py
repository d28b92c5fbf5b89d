"""Writes the reference pages that follow from the code: settings, commands, Python, plugin API.

`make docs` runs it, and a test compares what is committed with what it would write.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, ForwardRef

import click
from pydantic import BaseModel

from formal_cluster import errors, hookspecs, model, protocols, status
from formal_cluster.cli import main
from formal_cluster.cluster import Cluster
from formal_cluster.plugins import PluginManager, PluginStatus
from formal_cluster.settings import Settings
from formal_cluster.settings_file.keys import DRIVER_TABLES

DIRECTORY = Path(__file__).parents[1] / "docs" / "reference"
_HEADER = "<!-- Written by tools/reference.py from the code; `make docs` writes it anew. -->\n"


def pages() -> dict[str, str]:
    """The text of each page, by file name."""
    parts = {
        "settings.md": _settings(),
        "cli.md": _cli(),
        "python.md": _python(),
        "plugin-api.md": _plugin_api(),
    }
    return {name: "\n".join([_HEADER, *lines]).rstrip() + "\n" for name, lines in parts.items()}


_SETTINGS = """\
# Settings

One TOML file, named by `--config` or `FORMAL_CLUSTER_CONFIG`. Every key has a default unless it
says *required*; an unknown key is an error. An environment variable overrides a key:
`FORMAL_CLUSTER_STORE__ETCD__DATA_DIR=/data` sets `store.etcd.data_dir`; `__` separates the levels,
and the value is read as TOML if it is any, else as text.

`formal-cluster config show` prints what is in effect and where each value comes from;
`formal-cluster config schema` prints the same as below as JSON Schema, for the drivers installed.
"""

# ── settings ─────────────────────────────────────────────────────────────────────────────────


def _settings() -> Iterator[str]:
    yield _SETTINGS
    schema = Settings.model_json_schema()
    for section, body in schema["properties"].items():
        if section == "counter":
            yield from _table("[[counter]]", schema["$defs"]["CounterSettings"], schema["$defs"])
            yield from (body["description"], "")
        else:
            own, title = _resolved(body, schema["$defs"]), f"[{section}]"
            if "properties" not in own:  # a table of tables whose names the operator chooses
                own, title = (
                    _resolved(own["additionalProperties"], schema["$defs"]),
                    f"[{section}.…]",
                )
            yield from _table(title, own, schema["$defs"])
    yield from ("# Settings of drivers", "")
    for title, distribution, settings_class in _drivers():
        driver = settings_class.model_json_schema(by_alias=True)
        yield from _table(title, driver, driver.get("$defs", {}), f"From `{distribution}`.")


def _drivers() -> Iterator[tuple[str, str, type[BaseModel]]]:
    manager = PluginManager(Settings())
    for plugin in manager.inventory(import_all=True):
        assert plugin.status is PluginStatus.LOADED, plugin
        settings_class = manager.load(plugin.family, plugin.name).settings_class
        if settings_class.model_fields:
            distribution = plugin.origin.partition(" ")[0]
            yield f"[{plugin.family}.{plugin.name}]", distribution, settings_class


def _table(
    title: str, body: Mapping[str, Any], definitions: Mapping[str, Any], note: str = ""
) -> Iterator[str]:
    yield from (f"## `{title}`", "")
    if note:
        yield from (note, "")
    rows = {key: value for key, value in body["properties"].items() if key != DRIVER_TABLES}
    yield "| key | type | default | meaning |"
    yield "|---|---|---|---|"
    nested: list[tuple[str, Mapping[str, Any]]] = []
    for key, value in rows.items():
        inner = _nested(value, definitions)
        if inner is not None:
            nested.append((key, inner))
        default = "*required*" if key in body.get("required", ()) else _code(value.get("default"))
        cells = (f"`{key}`", _type(value, definitions), default, value.get("description", ""))
        yield "| " + " | ".join(map(_cell, cells)) + " |"
    yield ""
    for key, inner in nested:
        yield from _table(f"{title.strip('[]')}.{key}", inner, definitions)


def _resolved(value: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = value.get("$ref")
    return definitions[reference.rpartition("/")[2]] if reference else value


def _alternatives(value: Mapping[str, Any], definitions: Mapping[str, Any]) -> list[Any]:
    found = [_resolved(each, definitions) for each in value.get("anyOf", [value])]
    return [each for each in found if each.get("type") != "null"]


def _nested(value: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any] | None:
    for each in _alternatives(value, definitions):
        inner = _resolved(each.get("items", each), definitions)
        if "properties" in inner:
            return inner
    return None


def _type(value: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    return " or ".join(_one_type(each, definitions) for each in _alternatives(value, definitions))


def _one_type(each: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    if "enum" in each:
        return ", ".join(_code(choice) for choice in each["enum"])
    if each.get("type") == "array":
        items = _resolved(each["items"], definitions)
        return "tables" if "properties" in items else f"list of {_type(items, definitions)}"
    if "properties" in each:
        return "table"
    name = "path" if each.get("format") == "path" else str(each.get("type", "any"))
    bounds = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    return " ".join([name, *(f"{sign} {each[key]}" for key, sign in bounds.items() if key in each)])


def _code(value: object) -> str:
    return "" if value is None else f"`{json.dumps(value)}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


# ── commands ─────────────────────────────────────────────────────────────────────────────────


def _cli() -> Iterator[str]:
    yield from ("# Commands", "", inspect.cleandoc(main.help or ""), "")
    root = click.Context(main, info_name="formal-cluster")
    for name in main.list_commands(root):
        command = main.get_command(root, name)
        assert command is not None
        yield from _command(command, click.Context(command, parent=root, info_name=name))


def _command(command: click.Command, context: click.Context) -> Iterator[str]:
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _command(inner, click.Context(inner, parent=context, info_name=name))
        return
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    help_text = inspect.cleandoc(command.help or "").replace("\b\n", "")
    yield from (f"## {context.command_path}", "", "```text", usage, "```", "", help_text, "")
    options = [param for param in command.params if isinstance(param, click.Option)]
    rows = [record for option in options if (record := option.get_help_record(context))]
    if rows:
        yield from ("| option | meaning |", "|---|---|")
        for option, text in rows:
            yield f"| `{_cell(option)}` | {_cell(text)} |"
        yield ""


# ── Python ───────────────────────────────────────────────────────────────────────────────────

_VALUES = (
    model.Decision,
    model.CounterReading,
    model.PolicyOutcome,
    status.ClusterStatus,
    model.StoreStatus,
    model.Member,
    model.CountersStatus,
    protocols.JournalEntry,
)
_NAMES = (model.Stage, model.ClusterState, model.StoreState, model.Role, model.Grade)


def _python() -> Iterator[str]:
    yield from ("# Python", "", "```python", "from formal_cluster import Cluster", "```", "")
    yield from ("## Cluster", "", _markdown(Cluster.__doc__), "")
    for name, attribute in vars(Cluster).items():
        if not name.startswith("_") or name == "__aenter__":
            yield from _member(name, attribute)
    yield from ("## Values", "")
    for value in _VALUES:
        yield from (f"### {value.__name__}", "", _markdown(value.__doc__), "")
        yield from ("| field | type |", "|---|---|")
        for name, annotation in value.__annotations__.items():
            yield f"| `{name}` | `{_annotation(annotation)}` |"
        for name, attribute in vars(value).items():
            if isinstance(attribute, property) and not name.startswith("_"):
                text = _cell(_markdown(attribute.__doc__))
                yield f"| `{name}` (property) | `{_returns(attribute)}`: {text} |"
        yield ""
    yield from ("## Names", "", 'Each is a string: `Stage.PRE_REQUEST == "pre_request"`.', "")
    for names in _NAMES:
        values = ", ".join(f"`{each.value}`" for each in names)
        yield f"- `{names.__name__}`: {values}"
    tree = inspect.getdoc(errors) or ""
    yield from ("", "## Errors", "", "```text", tree.partition("\n\n")[2], "```")


# ── plugin API ───────────────────────────────────────────────────────────────────────────────

_PLUGIN_API = f"""\
# The plugin API, version {hookspecs.API_VERSION}

What a plugin implements, takes, returns and raises: everything that is public in
`formal_cluster.hookspecs`, `protocols`, `model` and `errors`. How it is used:
[write a plugin](../write-a-plugin.md). What may change in it, and when:
[versions of the plugin API](../plugin-api-versions.md).
"""


def _plugin_api() -> Iterator[str]:
    yield from (_PLUGIN_API, "## Hooks", "", "From `formal_cluster.hookspecs`.", "")
    for family in hookspecs.FAMILIES.values():
        yield from (f"### Family `{family.name}`: entry-point group `{family.group}`", "")
        for hook in (family.settings_hook, family.create_hook):
            function = getattr(family.spec, hook)
            yield f"- `{hook}{_signature(function)}`: {_markdown(function.__doc__)}"
        yield ""
    yield from ("## What core hands to a plugin", "")
    yield from _fields(hookspecs)
    yield from _protocols()
    yield from ("## Values", "", "From `formal_cluster.model`.", "")
    for module in (model, protocols):
        yield from _fields(module)
    yield from ("## Names", "", "From `formal_cluster.model`. Each is a string.", "")
    for names in _public(model):
        if issubclass(names, enum.Enum):
            values = ", ".join(f"`{each.value}`" for each in names)
            yield from (f"### {names.__name__}", "", _markdown(names.__doc__), "", values, "")
    yield from ("## Errors", "", "From `formal_cluster.errors`.", "")
    for error in _public(errors):
        parent = error.__bases__[0].__name__
        yield from (f"### {error.__name__}({parent})", "", _markdown(error.__doc__), "")


def _protocols() -> Iterator[str]:
    yield from ("## Protocols", "", "From `formal_cluster.protocols`. Nothing is inherited.", "")
    for protocol in _public(protocols):
        if getattr(protocol, "_is_protocol", False):
            yield from (f"### {protocol.__name__}", "", _markdown(protocol.__doc__), "")
            for name, attribute in vars(protocol).items():
                if not name.startswith("_"):
                    yield from _member(name, attribute, level="####")


def _fields(module: ModuleType) -> Iterator[str]:
    """The value types of a module, field by field, and pydantic base classes."""
    for value in _public(module):
        if issubclass(value, BaseModel):
            yield from (f"### {value.__name__}", "", _markdown(value.__doc__), "")
            for name, attribute in vars(value).items():
                if isinstance(attribute, property):
                    yield from _member(name, attribute, level="####")
        elif defaults := _defaults(value):
            yield from (f"### {value.__name__}", "", _markdown(value.__doc__), "")
            yield from ("| field | type | default |", "|---|---|---|")
            for name, default in defaults.items():
                shown = "*required*" if default is dataclasses.MISSING else f"`{default}`"
                annotation = _annotation(inspect.get_annotations(value)[name])
                yield f"| `{name}` | `{annotation}` | {_cell(shown)} |"
            yield ""


def _defaults(value: type) -> dict[str, object]:
    """The fields of a dataclass or named tuple and what they are if nobody says."""
    if dataclasses.is_dataclass(value):
        return {field.name: field.default for field in dataclasses.fields(value)}
    given: dict[str, object] = getattr(value, "_field_defaults", {})
    names: tuple[str, ...] = getattr(value, "_fields", ())
    return {name: given.get(name, dataclasses.MISSING) for name in names}


def _public(module: ModuleType) -> list[type]:
    """The public classes of a module, those that it passes on included, in their order."""
    ours = [each for each in vars(module).items() if inspect.isclass(each[1])]
    passed_on = {module.__name__}
    if module is model:
        passed_on.add("formal_cluster.counts")
    return [
        each for name, each in ours if not name.startswith("_") and each.__module__ in passed_on
    ]


def _signature(function: Any) -> str:
    signature = re.sub(r"<[^<>]* at 0x\w+>", "…", str(inspect.signature(function)))
    return re.sub(r"\((self|cls)(, )?", "(", signature).replace("'", "")


def _member(name: str, attribute: Any, level: str = "###") -> Iterator[str]:
    if isinstance(attribute, property):
        title, doc = f"{name}: {_returns(attribute)}", attribute.__doc__
    else:
        function = getattr(attribute, "__func__", attribute)
        prefix = "async " if inspect.iscoroutinefunction(function) else ""
        title, doc = f"{prefix}{name}{_signature(function)}", function.__doc__
    if name == "__aenter__":
        title = "async with Cluster(…) as cluster"
    yield from (f"{level} `{title}`", "", _markdown(doc), "")


def _returns(attribute: property) -> str:
    assert attribute.fget is not None
    return _annotation(attribute.fget.__annotations__["return"])


def _annotation(annotation: object) -> str:
    if isinstance(annotation, ForwardRef):
        annotation = annotation.__forward_arg__
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    return _cell(text)


def _markdown(doc: str | None) -> str:
    """A docstring with its sections as lists."""
    lines: list[str] = []
    in_section = False
    for line in inspect.cleandoc(doc or "").splitlines():
        if re.fullmatch(r"(Args|Raises|Attributes|Returns):", line):
            lines += [f"**{line[:-1]}**", ""]
            in_section = True
        elif in_section and (entry := re.fullmatch(r"    (\w[\w, ]*): (.*)", line)):
            lines.append(f"- `{entry[1]}`: {entry[2]}")
        elif in_section and line.startswith("    "):
            lines.append(f"  {line.strip()}")
        else:
            lines.append(line)
    return "\n".join(lines)


if __name__ == "__main__":
    DIRECTORY.mkdir(exist_ok=True)
    for file_name, text in pages().items():
        (DIRECTORY / file_name).write_text(text)
