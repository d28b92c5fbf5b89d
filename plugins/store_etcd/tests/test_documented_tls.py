"""`docs/tls.md` and `docs/external-etcd.md`, carried out."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import time
import tomllib
from pathlib import Path

import pytest

from formal_cluster_store_etcd.settings import EtcdSettings
from formal_cluster_store_etcd.tls.credentials import load

DOCS = Path(__file__).parents[3] / "docs"
HERE = f"127.{random.randint(1, 254)}.{random.randint(0, 254)}.{random.randint(1, 254)}"


def blocks(document: str, language: str) -> list[str]:
    text = (DOCS / document).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def documented_settings(document: str) -> dict:
    (toml,) = blocks(document, "toml")
    return tomllib.loads(toml)["store"]["etcd"]


@pytest.fixture
def made(tmp_path):
    """The directory in which the documented commands were run."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl on PATH: certificates cannot be made here")
    once, each = blocks("tls.md", "sh")
    subprocess.run(
        ["sh", "-eu", "-c", once + each],
        cwd=tmp_path,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "ADDRESS": HERE},
        capture_output=True,
        check=True,
    )
    return tmp_path


@pytest.mark.etcd
def test_the_documented_files_and_settings_give_an_instance_that_serves_by_tls(made, etcd_make):
    named = documented_settings("tls.md")["tls"]
    tls = {name: made / Path(path).name for name, path in named.items()}
    settings = EtcdSettings(tls=tls)
    assert load(settings.tls, own_address=HERE).server is not None

    etcd = etcd_make("documented", scheme="https", host=HERE)
    etcd.flags = ("--cert-file", tls["certificate"], "--key-file", tls["key"])
    etcd.flags += ("--trusted-ca-file", tls["ca"], "--client-cert-auth")
    etcd.start()
    commands = blocks("tls.md", "console")[0].replace("$ADDRESS:2379", str(etcd.endpoint))
    listing = next(line for line in commands.splitlines() if "etcdctl" in line)
    command = listing.removeprefix("$ ").split()
    shown = until_it_works(command, made)
    assert "documented" in shown.stdout


def until_it_works(command: list[str], directory: Path) -> subprocess.CompletedProcess[str]:
    """etcd has only just been started."""
    deadline = time.monotonic() + 45
    while True:
        done = subprocess.run(command, cwd=directory, capture_output=True, check=False, text=True)
        if done.returncode == 0:
            return done
        assert time.monotonic() < deadline, done.stderr


def test_the_documented_settings_of_an_external_etcd_are_valid():
    settings = EtcdSettings(**documented_settings("external-etcd.md"))
    assert not settings.needs_discovery
