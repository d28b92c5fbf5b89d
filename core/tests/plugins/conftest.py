"""Fake distributions: real `dist-info` directories and modules on `sys.path`."""

import os
import subprocess
import sys
import textwrap
import uuid
from pathlib import Path

import pytest

from formal_cluster.hookspecs import FAMILIES

GOOD = {
    "discovery": """
        from formal_cluster.hookspecs import DriverSettings, hookimpl

        class Settings(DriverSettings):
            zone: str = "default"

        class Driver:
            def __init__(self, zone):
                self.zone = zone

            def __len__(self):
                return 0

            async def identify(self): ...
            async def discover(self): ...
            async def watch(self):
                yield None
            async def aclose(self): ...

        @hookimpl
        def discovery_settings():
            return Settings

        @hookimpl
        def create_discovery(settings, context):
            return Driver(settings.zone)
        """,
    "store": """
        from formal_cluster.hookspecs import DriverSettings, hookimpl

        @hookimpl
        def store_settings():
            return DriverSettings

        @hookimpl
        def create_store(settings, context): ...
        """,
    "counters": """
        from formal_cluster.hookspecs import DriverSettings, hookimpl

        @hookimpl
        def counters_settings():
            return DriverSettings

        @hookimpl
        def create_counters(settings, context): ...
        """,
    "enrichment": """
        from formal_cluster.hookspecs import DriverSettings, hookimpl

        class Driver:
            def enrich(self, stage, document):
                return {}

        @hookimpl
        def enrichment_settings():
            return DriverSettings

        @hookimpl
        def create_enricher(settings, context):
            return Driver()
        """,
}


class Distributions:
    """Makes distributions, each in a directory of its own that comes first on the import path."""

    def __init__(self, tmp_path, monkeypatch):
        self._tmp_path, self._monkeypatch = tmp_path, monkeypatch
        self.modules, self.directories = [], []

    def install(
        self,
        name,
        source=None,
        *,
        family="discovery",
        driver="acme",
        group=None,
        version="1.0",
        attribute=None,
    ):
        """Install one module with one entry point that names it, or an attribute of it; returns
        the module's name."""
        module = f"fake_{uuid.uuid4().hex}"
        self.modules.append(module)
        named = module if attribute is None else f"{module}:{attribute}"
        directory = self.register(
            name, {group or FAMILIES[family].group: {driver: named}}, version=version
        )
        text = textwrap.dedent(GOOD[family] if source is None else source)
        (directory / f"{module}.py").write_text(text)
        return module

    def register(self, name, groups, *, version="1.0"):
        """Install entry points alone; returns the directory."""
        directory = self._tmp_path / uuid.uuid4().hex
        info = directory / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        lines = []
        for group, drivers in groups.items():
            lines += [f"[{group}]", *(f"{driver} = {value}" for driver, value in drivers.items())]
        (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
        self._monkeypatch.syspath_prepend(directory)
        self.directories.insert(0, directory)
        return directory


@pytest.fixture
def distributions(tmp_path, monkeypatch):
    made = Distributions(tmp_path, monkeypatch)
    yield made
    for module in made.modules:
        sys.modules.pop(module, None)


@pytest.fixture
def formal_cluster(distributions, tmp_path):
    """Runs the command in a process of its own that sees the made distributions."""

    def run(*arguments, **environment):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("FORMAL_CLUSTER_")}
        paths = os.pathsep.join(str(directory) for directory in distributions.directories)
        return subprocess.run(
            [Path(sys.executable).with_name("formal-cluster"), *arguments],
            env={**clean, "PYTHONPATH": paths, "XDG_CACHE_HOME": str(tmp_path / "cache")}
            | environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=150,
        )

    return run
