"""The driver of docs/write-a-discovery-driver.md works as it stands there."""

import ast
import asyncio
import importlib
import json
import logging
import re
import sys
from contextlib import aclosing
from pathlib import Path

import pytest

from formal_cluster.errors import DiscoveryError, DiscoveryUnavailable
from formal_cluster.hookspecs import DiscoveryContext
from formal_cluster.model import Instance, InstanceState, View
from formal_cluster.protocols import Discovery

DOCUMENT = Path(__file__).parents[2] / "docs" / "write-a-discovery-driver.md"


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    pattern = r'```python title="plugin.py"\n(.*?)```'
    code = re.search(pattern, DOCUMENT.read_text(), re.DOTALL)[1]
    (tmp_path / "documented_driver.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("documented_driver")
    del sys.modules["documented_driver"]


@pytest.fixture
def listing(tmp_path):
    path = tmp_path / "instances.json"

    def write(*entries):
        keys = ("id", "address", "state")
        path.write_text(json.dumps([dict(zip(keys, entry, strict=True)) for entry in entries]))
        return path

    write.path = path
    return write


@pytest.fixture
def create(plugin, listing):
    def create(instance_id="a"):
        settings = plugin.discovery_settings()(path=listing.path, interval=0.01)
        context = DiscoveryContext(instance_id, logging.getLogger("test.documented"))
        return plugin.create_discovery(settings, context)

    return create


def test_it_has_fewer_than_forty_lines_of_code(plugin):
    """Imports and docstrings aside."""
    text = Path(plugin.__file__).read_text()
    aside = {
        line
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
        or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        for line in range(node.lineno, node.end_lineno + 1)
    }
    lines = enumerate(text.splitlines(), start=1)
    assert 20 < sum(number not in aside and line != "" for number, line in lines) < 40


async def test_it_sees_what_is_listed_and_that_it_runs(create, listing):
    listing(("b", "10.0.0.2", "stopped"), ("a", "10.0.0.1", "unknown"))
    driver = create()

    expected = (
        Instance("a", "10.0.0.1", InstanceState.RUNNING),
        Instance("b", "10.0.0.2", InstanceState.STOPPED),
    )
    assert isinstance(driver, Discovery)
    assert View(expected) == await driver.discover()
    assert expected[0] == await driver.identify()


async def test_a_process_that_is_not_listed_is_told(create, listing):
    listing(("a", "10.0.0.1", "running"))

    with pytest.raises(DiscoveryError, match=r"instance\.id is 'z'; set it to one of .*: a"):
        await create("z").identify()


@pytest.mark.parametrize("text", ["", "[]", "{}", '[{"id": "a"}]', "[1]"])
async def test_what_cannot_be_used_is_no_empty_view(create, listing, text):
    listing.path.write_text(text)

    with pytest.raises(DiscoveryUnavailable):
        await create().discover()


async def test_it_tells_of_changes(create, listing):
    listing(("a", "10.0.0.1", "running"))
    async with asyncio.timeout(50), aclosing(create().watch()) as views:
        await anext(views)

        listing(("a", "10.0.0.1", "running"), ("b", "10.0.0.2", "running"))

        assert ["a", "b"] == [instance.id for instance in (await anext(views)).instances]
