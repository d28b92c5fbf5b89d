"""What the pages say about the code is what the code says."""

from __future__ import annotations

import ast
import inspect
import json
import re
import runpy
from dataclasses import asdict, fields
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from pydantic import BaseModel

from formal_cluster import Cluster, errors, hookspecs, model, protocols
from formal_cluster.counters.pacing import batch_interval_s
from formal_cluster.counters.settings import LogCountersSettings
from formal_cluster.model import Member, Role
from formal_cluster.plugins import PluginManager
from formal_cluster.policy.findings import PolicySetRefused
from formal_cluster.policy.load import load_policies
from formal_cluster.protocols import JournalEntry
from formal_cluster.server import app as server
from formal_cluster.settings import DEFAULT_COUNTER, CounterSettings, Settings
from formal_cluster.settings_file.env import variable_name

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"
PAGES = sorted([ROOT / "README.md", *DOCS.glob("*.md"), *REFERENCE.glob("*.md")])
SOURCES = [*ROOT.glob("core/src/**/*.py"), *ROOT.glob("plugins/*/src/**/*.py")]

OF_STATUS_DOCUMENTS = {"store.last_error", "store.warnings"}
"""Spelt like settings, and fields of `/v1/cluster`."""


# ── generated pages ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["cli.md", "plugin-api.md", "python.md", "settings.md"])
def test_the_generated_pages_are_what_would_be_generated_now(name):
    written = runpy.run_path(str(ROOT / "tools" / "reference.py"))["pages"]()
    assert written[name] == (REFERENCE / name).read_text(), "run `make docs` and commit the page"


@pytest.mark.parametrize("module", [hookspecs, protocols, model, errors], ids=lambda m: m.__name__)
def test_every_public_class_of_the_contract_is_in_the_reference_of_the_plugin_api(module):
    headings = re.findall(r"^### (\w+)", (REFERENCE / "plugin-api.md").read_text(), re.MULTILINE)
    specs = {family.spec for family in hookspecs.FAMILIES.values()}  # shown hook by hook
    public = {
        name
        for name, value in vars(module).items()
        if inspect.isclass(value) and value not in specs and not name.startswith("_")
        if value.__module__ in (module.__name__, "formal_cluster.counts")
    }
    assert set() == public - set(headings)


# ── settings ─────────────────────────────────────────────────────────────────────────────────


def _keys(model: type[BaseModel], prefix: str = "") -> set[str]:
    found = set()
    for name, field in model.model_fields.items():
        key = prefix + (field.alias or name)
        found.add(key)
        for inner in _models(field.annotation):
            found |= _keys(inner, f"{key}.")
    return found


def _models(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models(part)]


@pytest.fixture(scope="module")
def settings_keys() -> set[str]:
    manager = PluginManager(Settings())
    keys = _keys(Settings) | _keys(CounterSettings, "counter.")
    for plugin in manager.inventory(import_all=True):
        driver = f"{plugin.family}.{plugin.name}"
        keys |= {
            driver,
            *_keys(manager.load(plugin.family, plugin.name).settings_class, f"{driver}."),
        }
    return keys


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_setting_that_a_page_names_exists(page, settings_keys):
    text = page.read_text()
    sections = "|".join(Settings.model_fields)
    named = set(re.findall(rf"`((?:{sections})(?:\.[a-z0-9_-]+)+)(?: = [^`]+)?`", text))
    files = {name for name in named if name.endswith(".py")}
    assert set() == named - files - settings_keys - OF_STATUS_DOCUMENTS
    variables = set(re.findall(r"\bFORMAL_CLUSTER_[A-Z][A-Z0-9_]*[A-Z0-9]\b", text))
    known = {variable_name(key.split(".")) for key in settings_keys}
    assert set() == variables - known - {"FORMAL_CLUSTER_CONFIG"}


# ── HTTP ─────────────────────────────────────────────────────────────────────────────────────


def test_every_route_is_in_the_http_reference_and_no_other():
    [routes] = [
        [(call.func.attr.upper(), call.args[0].value) for call in ast.walk(tree) if _is_route(call)]
        for tree in [ast.parse(Path(server.__file__).read_text())]
    ]
    text = (REFERENCE / "http.md").read_text()
    documented = re.findall(r"^\| `([A-Z]+) (/\S+)` \|", text, re.MULTILINE)
    assert sorted(routes) == sorted(documented)


def _is_route(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and getattr(node.func.value, "id", None) == web.__name__.rpartition(".")[2]
        and node.func.attr in {"get", "post", "put", "delete"}
    )


def test_every_error_code_is_in_the_http_reference_and_no_other():
    text = (REFERENCE / "http.md").read_text()
    section = text[text.index("## Errors") : text.index("## Condition")]
    documented = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", section))
    raised = {code for source in SOURCES for code in _error_codes(ast.parse(source.read_text()))}
    assert raised == documented


def _error_codes(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "id", "")
        if name == "InputError":
            values = [keyword.value for keyword in node.keywords if keyword.arg == "code"]
        else:
            values = node.args[1:2] if name == "error_response" else []
        found |= {value.value for value in values if isinstance(value, ast.Constant)}
    return found


def _shape(document: object) -> object:
    """Names and nesting of a JSON document, without its values."""
    if isinstance(document, dict):
        return {name: _shape(value) for name, value in document.items()}
    return [_shape(document[0])] if isinstance(document, list) and document else None


@pytest.fixture
async def answers(tmp_path):
    """What an instance answers to the requests whose answers the page shows."""
    (tmp_path / "policy.rego").write_text(
        "package formal.v2\n\nimport future.keywords.if\n\n"
        'pre_request := {"action": "block", "type": "block_with_formal_message"} if {\n'
        "  input.bucket.access_count.last_minute > 0\n}\n"
    )
    settings = {
        "store": {"driver": "memory"},
        "discovery": {"static": {"instances": [{"id": "a", "address": "127.0.0.1"}]}},
        "policy": {"paths": [str(tmp_path)]},
        "cache": {"jobs": {}},
    }
    asked = {"input": {"user": {"id": "alice"}, "bucket": {"name": "sensitive-bucket"}}}
    path = "/v1/data/formal/v2/pre_request"
    async with (
        Cluster.from_settings(settings) as cluster,
        TestClient(TestServer(server.build_app(cluster))) as client,
    ):
        decision = await client.post(f"{path}?provenance&ratelimit", json=asked)
        found = {f"POST {path}": await decision.json()}
        for path in ("/ready", "/v1/cluster"):
            answer = await client.get(path)
            found[f"GET {path}"] = await answer.json()
        found["GET /metrics"] = await (await client.get("/metrics")).text()
        yield found


async def test_every_metric_is_in_the_http_reference_and_no_other(answers):
    text = (REFERENCE / "http.md").read_text()
    documented = re.findall(r"^\| `(formal_cluster_\w+)` \|", text, re.MULTILINE)
    told = re.findall(r"^# TYPE (\w+)", answers["GET /metrics"], re.MULTILINE)
    assert sorted(name for name in told if not name.endswith("_created")) == sorted(documented)


async def test_the_answers_that_the_http_reference_shows_have_all_fields(answers, blocks_of):
    shown = {
        block.title: json.loads(block.text)
        for block in blocks_of(REFERENCE / "http.md")
        if block.title
    }
    # Alone in memory there are no members and no journal: their fields are checked by type.
    assert set(asdict(Member("a", "10.0.0.1", Role.VOTER))) == set(
        shown["GET /v1/cluster"]["members"][0]
    )
    [entry] = shown.pop("GET /v1/cluster/journal")["journal"]
    assert {field.name for field in fields(JournalEntry)} == set(entry)
    shown["GET /v1/cluster"]["members"] = []
    del answers["GET /metrics"]
    assert _shape(answers) == _shape(shown)


def test_the_scaling_page_calculates_as_the_writers_do():
    settings = LogCountersSettings()
    rows = re.findall(
        r"^\| (\d+) \| ([\d.]+) \| ([\d.]+) \| (\d+) \| ([\d,]+) \|$",
        (DOCS / "scaling.md").read_text(),
        re.MULTILINE,
    )
    assert len(rows) > 2
    for instances, *figures in rows:
        number = int(instances)
        eventual, strict = (
            batch_interval_s(
                writers=number,
                flush_interval_s=settings.flush_interval_ms / 1000,
                write_budget=settings.write_budget,
                strict=is_strict,
            )
            for is_strict in (False, True)
        )
        writes = number / eventual
        expected = [
            f"{eventual * 1000:g}",
            f"{strict * 1000:.1g}" if strict < 0.01 else f"{strict * 1000:g}",
        ]
        assert [*expected, f"{writes:.0f}", f"{writes * number:,.0f}"] == figures


# ── messages ─────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def messages() -> list[str]:
    """Every text in the sources, what is filled in left out."""
    texts = []
    for source in SOURCES:
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(re.sub(r"\{[^}]*\}", "\0", node.value))
            elif isinstance(node, ast.JoinedStr):
                parts = (getattr(part, "value", None) for part in node.values)
                texts.append("".join(p if isinstance(p, str) else "\0" for p in parts))
    return texts


@pytest.mark.parametrize("page", ["troubleshooting.md", "upgrading.md"])
def test_every_message_that_is_explained_can_be_seen(page, messages):
    cells = [
        cell
        for line in (DOCS / page).read_text().splitlines()
        if line.startswith("| ")
        for cell in re.findall(r"`([^`]+)`", line)
        if cell.count(" ") > 2 and not cell.startswith("formal-cluster ")
    ]
    assert len(cells) > 2
    assert [] == [cell for cell in cells if not any(_shows(text, cell) for text in messages)]


def _shows(text: str, shown: str) -> bool:
    """Whether a message begins, ends or goes on like this; … stands for what is filled in."""
    pieces = [re.escape(piece.strip(" ,;:")) for piece in shown.split("…")]
    return re.search(".*".join(pieces), text, re.DOTALL) is not None


def _mistakes() -> list[tuple[str, str]]:
    text = (DOCS / "policies.md").read_text()
    table = text[text.index("## What the loader catches") :]
    return re.findall(r"^\| `(.+)` \| `(.+)` \|$", table, re.MULTILINE)


@pytest.mark.parametrize(("rule", "told"), _mistakes())
def test_the_loader_catches_the_mistakes_that_the_policy_page_lists(rule, told, tmp_path):
    (tmp_path / "policy.rego").write_text(f"package formal.v2\n\n{rule}\n")
    with pytest.raises(PolicySetRefused) as refused:
        load_policies([tmp_path], [DEFAULT_COUNTER])
    assert [] == [part for part in told.split("` … `") if part not in str(refused.value)]


def test_every_make_target_that_a_page_names_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {name for page in PAGES for name in re.findall(r"`make ([a-z-]+)", page.read_text())}
    assert set() == named - targets
