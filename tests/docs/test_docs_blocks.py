"""Every block of every page is what it claims to be, judged by what would read it."""

from __future__ import annotations

import ast
import importlib
import json
import re
import shlex
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import hcl2
import kubernetes_validate
import pytest
import yaml

from formal_cluster.cli import main
from formal_cluster.hookspecs import FAMILIES
from formal_cluster.plugins import PluginManager
from formal_cluster.plugins.commands import GROUP
from formal_cluster.policy.load import load_policies
from formal_cluster.settings import DEFAULT_COUNTER, CounterSettings
from formal_cluster.settings_file import load_settings

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page
    for pattern in (
        "README.md",
        "core/README.md",
        "docs/**/*.md",
        "deploy/**/README.md",
        "plugins/*/README.md",
        "examples/*/README.md",
        "benchmarks/README.md",
    )
    for page in ROOT.glob(pattern)
)
DECLARATIONS = "formal_cluster.conformance.v1"
"""The group in which drivers say how they are tested."""
OUTPUT = "text"
"""The language of blocks that are nothing but output or pictures; `""` may have commands in it."""

UNCHECKED = {
    "docs/run-on-kubernetes.md": ["needs a container builder"],
    "docs/write-a-discovery-driver.md": ["chooses the driver that is written on this page"],
}
KUBERNETES = "1.35"
_SHELL_OPERATORS = {"|", "||", "&&", ";", "&", ">", ">>", "2>&1", "<"}


def each_page(test: Callable[..., None]) -> Callable[..., None]:
    return pytest.mark.parametrize(
        "page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES]
    )(test)


@each_page
def test_every_block_is_checked_or_says_why_not(page, blocks_of):
    unchecked = [block for block in blocks_of(page) if block.unchecked]
    expected = UNCHECKED.get(str(page.relative_to(ROOT)), [])
    assert expected == [block.unchecked for block in unchecked]
    unknown = {
        block.place: block.language
        for block in blocks_of(page)
        if block.language not in {*CHECKS, OUTPUT, ""} and not block.unchecked
    }
    assert {} == unknown, "there is no check for these languages; add one, or mark the block"


@each_page
def test_every_block_is_valid(page, blocks_of, tmp_path):
    counters: tuple[CounterSettings, ...] = (DEFAULT_COUNTER,)
    for block in blocks_of(page):
        if block.unchecked or block.language not in CHECKS:
            continue
        try:
            if block.language == "rego":
                check_rego(block.text, tmp_path, counters)
            elif block.language == "toml":
                # A policy further down the page may read the counters that are declared here.
                counters = check_toml(block.text, tmp_path) or counters
            else:
                CHECKS[block.language](block.text, tmp_path)
        except Exception as error:
            error.add_note(f"in the block at {block.place}")
            raise


@each_page
def test_every_command_line_fits_the_command(page, blocks_of):
    for block in blocks_of(page):
        if block.language not in {"sh", "console", "bash", ""} or block.unchecked:
            continue
        for tokens in _commands(_shell(block.text, block.language)):
            _fits(tokens, block.place, is_complete=True)
    for span in re.findall(r"`(formal-cluster\s[^`]+)`", page.read_text()):
        _fits(shlex.split(span)[1:], f"{page.name}: `{span}`", is_complete=False)


@pytest.mark.parametrize(
    "line",
    [
        "formal-cluster stauts",
        "formal-cluster status --jounral",
        "formal-cluster policy check",
        "formal-cluster status now",
        "aws run --command 'formal-cluster discover --wach'",
    ],
)
def test_a_command_line_that_does_not_fit_is_noticed(line):
    [tokens] = _commands(line)
    with pytest.raises((AssertionError, click.UsageError)):
        _fits(tokens, "here", is_complete=True)


# ── what each language is judged by ──────────────────────────────────────────────────────────


def check_toml(text: str, directory: Path) -> tuple[CounterSettings, ...] | None:
    """The counters that it declares, if it is a settings file that does."""
    content = tomllib.loads(text)
    if "project" in content:
        groups = {family.group for family in FAMILIES.values()} | {GROUP, DECLARATIONS}
        assert set(content["project"]["entry-points"]) <= groups
        return None
    file = directory / "settings.toml"
    file.write_text(text)
    settings = load_settings(file, {})
    manager = PluginManager.from_settings(settings)
    for family in FAMILIES:
        for driver, table in content.get(family, {}).items():
            if isinstance(table, dict):
                manager.driver_settings(family, driver)
    return settings.counter if "counter" in content else None


def check_rego(text: str, directory: Path, counters: tuple[CounterSettings, ...]) -> None:
    file = directory / "policy.rego"
    is_whole = text.startswith("package ")
    file.write_text(text if is_whole else f"package formal.v2\n\n{text}")
    load_policies([file], counters)


def check_json(text: str, _: Path) -> None:
    json.loads(text)


def check_yaml(text: str, _: Path) -> None:
    for document in yaml.safe_load_all(text):
        if {"apiVersion", "kind"} <= set(document):
            kubernetes_validate.validate(document, KUBERNETES, strict=True)


def check_python(text: str, _: Path) -> None:
    tree = compile(text, "page", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("formal_cluster"):
            module = importlib.import_module(node.module)
            assert [] == [name.name for name in node.names if not hasattr(module, name.name)]


def check_shell(text: str, _: Path) -> None:
    done = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)


def check_console(text: str, directory: Path) -> None:
    check_shell(_shell(text, "console"), directory)


def check_hcl(text: str, _: Path) -> None:
    hcl2.loads(text)


CHECKS: dict[str, Callable[..., object]] = {
    "toml": check_toml,
    "rego": check_rego,
    "json": check_json,
    "yaml": check_yaml,
    "python": check_python,
    "sh": check_shell,
    "console": check_console,
    "hcl": check_hcl,
}


# ── command lines ────────────────────────────────────────────────────────────────────────────


def _shell(text: str, language: str) -> str:
    """What is typed, of a block with output too."""
    if language != "console":
        return text
    return "\n".join(line[2:] for line in text.splitlines() if line.startswith("$ "))


def _commands(shell: str) -> Iterator[list[str]]:
    """What follows `formal-cluster` on each line that calls it, also from inside quotes."""
    for line in shell.replace("\\\n", " ").splitlines():
        if "formal-cluster " not in line:
            continue
        tokens = shlex.split(line, comments=True)
        for index, token in enumerate(tokens):
            if token == "formal-cluster":
                rest = tokens[index + 1 :]
                ends = [i for i, each in enumerate(rest) if each in _SHELL_OPERATORS]
                yield rest[: ends[0]] if ends else rest
            elif token.startswith("formal-cluster "):
                yield token.split()[1:]


def _fits(tokens: list[str], place: str, *, is_complete: bool) -> None:
    """Raise if click's parser would refuse the command line, values apart."""
    command: click.Command = main
    context = click.Context(main, info_name="formal-cluster")
    while isinstance(command, click.Group):
        if not tokens or tokens[0].startswith("--"):
            return
        name, *tokens = tokens
        found = command.get_command(context, name)
        assert found is not None, f"{place}: there is no command {name!r}"
        command, context = found, click.Context(found, parent=context, info_name=name)
    if "--help" in tokens:
        return
    given, rest, _ = command.make_parser(context).parse_args(tokens)
    assert [] == rest, f"{place}: {context.command_path} takes no {rest}"
    missing = [
        param.name
        for param in command.params
        if param.required and param.value_is_missing(param.consume_value(context, given)[0])
    ]
    assert not (is_complete and missing), f"{place}: {context.command_path} needs {missing}"
