"""docs/troubleshooting.md: what can go wrong on one machine goes wrong, is named as the page says,
and is mended as it says. `../inventory.toml` tells of the rows that are tested elsewhere, or not.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from formal_cluster import Cluster, errors
from formal_cluster.model import ClusterState
from formal_cluster.settings_file import load_settings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[3]
ASKED = {"user": {"id": "alice"}, "bucket": {"name": "sensitive-bucket"}}


def test_every_symptom_is_provoked_here_or_says_where_or_why_not(inventory, symptoms):
    told = inventory.symptoms
    for cell in symptoms.cells:
        starts = [start for start in told if symptoms.begins(start, cell)]
        assert 1 == len(starts), (
            f"{cell}: provoke it in {Path(__file__).name}, and name it under "
            "[symptoms] in tests/docs/inventory.toml, or say there why not"
        )
    for start, test in told.items():
        assert symptoms.pattern(start)
        if " " not in test:
            assert (ROOT / test).is_file()
            here = test.endswith(Path(__file__).name)
            assert not here or f'"{start}' in Path(__file__).read_text()


# ── an instance of one's own ─────────────────────────────────────────────────────────────────


@pytest.fixture
def settings(tmp_path, machines, policy):
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "bucket.rego").write_text(policy)
    return {
        "instance": {"id": "a"},
        "discovery": {"static": {"instances": [{"id": "a", "address": f"{machines.subnet}1"}]}},
        "store": {
            "etcd": {
                "data_dir": str(tmp_path / "default.etcd"),
                "client_port": int(machines.client_port),
                "peer_port": int(machines.peer_port),
                "genesis_stable_s": 0.2,
            }
        },
        "policy": {"paths": [str(tmp_path / "policies")]},
        "counter": [
            {"name": "access_count"},
            {"name": "strict_count", "grade": "strict", "entity": "table"},
        ],
    }


async def until(condition, what, within_s=240):
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, what()
        await asyncio.sleep(0.05)


async def until_it_shows(symptoms, cluster, start):
    def says():
        return cluster.status().reason or ""

    await until(lambda: symptoms.shows(start, says()), lambda: f"not {start!r}, but: {says()}")


async def until_clustered(cluster):
    await until(
        lambda: cluster.status().state is ClusterState.CLUSTERED, lambda: cluster.status().reason
    )


# ── it does not start ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("start", "text", "environment"),
    [
        ("unknown key; did you mean", '[store.etcd]\ndata_dri = "x"\n', {}),
        ("…: no such setting; ", "", {"FORMAL_CLUSTER_STOER__DRIVER": "etcd"}),
        ("no plugin provides the", '[discovery]\ndrivers = ["eks"]\n', {}),
        (
            "which of discovery.static.instances",
            '[discovery.static]\ninstances = [{ id = "b", address = "192.0.2.1" }]\n',
            {},
        ),
        ("there is no counter", '[[counter]]\nname = "hit_count"\n', {}),
        ("cannot append to the decision log", '[log]\ndecisions = "no/such/directory"\n', {}),
    ],
)
async def test_a_start_is_refused(start, text, environment, settings, tmp_path, machines, symptoms):
    file = tmp_path / "connector.toml"
    listed = f'[discovery.static]\ninstances = [{{ id = "a", address = "{machines.subnet}1" }}]\n'
    if "discovery" not in text:
        text += listed
    file.write_text(f'{text}[policy]\npaths = ["policies"]\n[store]\ndriver = "memory"\n')
    if "store.etcd" in text:
        file.write_text(text)
    with pytest.raises(errors.FormalClusterError) as refused:
        async with Cluster.from_settings(load_settings(file, environment)):
            pass
    assert symptoms.shows(start, str(refused.value))


def test_a_taken_http_port_is_named(machines, policy, symptoms):
    here = machines.make("here")
    here.write("policies/bucket.rego", policy)
    here.write(
        "connector.toml",
        f'[discovery.static]\ninstances = [{{ id = "a", address = "{here.address}" }}]\n'
        '[store]\ndriver = "memory"\n[policy]\npaths = ["policies"]\n',
    )
    with socket.create_server((here.address, int(machines.api_port))):
        said = here.run("formal-cluster serve --config connector.toml 2>&1", status=2)
    assert symptoms.shows("cannot listen on … port", said)


def silent(machines, **more):
    """A discovery whose name servers nobody is behind."""
    resolver = f"{machines.subnet}9:{machines.api_port}"
    dns = {"names": ["x.invalid"], "resolvers": [resolver], **more}
    return {"drivers": ["dns"], "dns": dns}


async def test_an_instance_that_its_platform_does_not_name_keeps_asking(
    settings, machines, symptoms, caplog
):
    settings["discovery"] = silent(machines)

    async def serve():
        async with Cluster.from_settings(settings):
            raise AssertionError("it does not know who it is")

    serving = asyncio.create_task(serve())
    message = "this instance is not identified yet"
    await until(lambda: symptoms.shows(message, caplog.text), lambda: caplog.text)
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving


STORE = """from formal_cluster.hookspecs import hookimpl
from formal_cluster.model import Capability
from formal_cluster.store_memory import MemoryStateStore, MemoryStore, store_settings


class LooseStore(MemoryStateStore):
    @property
    def capabilities(self):
        return super().capabilities - {Capability.LINEARIZABLE_WRITES}


@hookimpl
def create_store(settings, context):
    return LooseStore(MemoryStore(history=settings.history), context.logger)
"""


async def test_a_store_that_cannot_order_hits_is_refused_for_a_strict_counter(
    settings, tmp_path, monkeypatch, symptoms
):
    (tmp_path / "loose_store.py").write_text(STORE)
    metadata = tmp_path / "loose_store-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: loose-store\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[formal_cluster.store.v1]\nloose = loose_store\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    settings["store"]["driver"] = "loose"
    with pytest.raises(errors.ConfigError) as refused:
        async with Cluster.from_settings(settings):
            pass
    assert symptoms.shows("counter … is … but the store", str(refused.value))


# ── it runs alone ────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def no_program(settings, home):
    settings["store"]["etcd"]["binary"] = str(home / "etcd")
    yield
    (home / "etcd").symlink_to(shutil.which("etcd"))


@contextlib.contextmanager
def old_program(settings, home):
    program = home / "etcd"
    settings["store"]["etcd"]["binary"] = str(program)
    program.write_text("#!/bin/sh\necho etcd Version: 3.3.27\n")
    program.chmod(0o755)
    yield
    program.unlink()
    program.symlink_to(shutil.which("etcd"))


@contextlib.contextmanager
def taken_port(settings, home):
    [listed] = settings["discovery"]["static"]["instances"]
    with socket.create_server((listed["address"], settings["store"]["etcd"]["client_port"])):
        yield


@contextlib.contextmanager
def file_in_its_place(settings, home):
    (home / "default.etcd").write_text("")
    yield
    (home / "default.etcd").unlink()


@contextlib.contextmanager
def full_disk(settings, home):
    disk = home / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", disk]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    settings["store"]["etcd"]["data_dir"] = str(disk / "default.etcd")
    try:
        yield
        subprocess.run(["mount", "-o", "remount,size=400m", disk], check=True)
    finally:
        # Lazily: it is in use until the test ends.
        subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.mark.etcd
@pytest.mark.parametrize(
    ("start", "cause"),
    [
        ("store.etcd.binary is …", no_program),
        ("etcd … is too old", old_program),
        ("cannot listen on …: …. End", taken_port),
        ("store.etcd.data_dir … cannot be used", file_in_its_place),
        ("the disk of … is full", full_disk),
    ],
)
async def test_it_serves_alone_until_the_cause_is_gone(start, cause, settings, tmp_path, symptoms):
    mend = cause(settings, tmp_path)
    mend.__enter__()
    async with Cluster.from_settings(settings) as cluster:
        await until_it_shows(symptoms, cluster, start)
        assert ClusterState.STANDALONE is cluster.status().state
        assert cluster.decide("pre_request", ASKED).permitted
        mend.__exit__(None, None, None)
        await until_clustered(cluster)


def elsewhere(machines):
    return [{"id": name, "address": f"{machines.subnet}{n}"} for n, name in enumerate("abc", 1)]


@pytest.mark.etcd
@pytest.mark.parametrize(
    ("start", "change"),
    [
        (
            "waiting until discovery names the same",
            lambda s, m: s["store"]["etcd"].update(genesis_stable_s=60),
        ),
        (
            "less than a majority of the instances",
            lambda s, m: s["discovery"]["static"].update(instances=elsewhere(m)),
        ),
        (
            "discovery gives no complete answer",
            lambda s, m: s.update(instance={}, discovery=silent(m, self_address=f"{m.subnet}1")),
        ),
        ("the store is not shared", lambda s, m: s["store"].update(driver="memory")),
    ],
)
async def test_it_says_what_it_waits_for(start, change, settings, machines, symptoms):
    change(settings, machines)
    async with Cluster.from_settings(settings) as cluster:
        await until_it_shows(symptoms, cluster, start)


# ── it is cut off, and decisions are not what they should be ─────────────────────────────────


@pytest.mark.etcd
async def test_an_etcd_that_hangs_is_told_of_in_each_place(settings, tmp_path, caplog, symptoms):
    settings["policy"]["paths"].append(str(tmp_path / "table.rego"))
    (tmp_path / "table.rego").write_text(
        "package formal.v2\nimport future.keywords.if\n"
        'pre_request := {"action": "block"} if input.table.strict_count.last_hour > 5\n'
    )
    strictly = {"user": {"id": "alice"}, "table": {"name": "ledger"}}
    async with Cluster.from_settings(settings) as cluster:
        await until_clustered(cluster)
        with pytest.raises(errors.FormalClusterError) as refused:
            cluster.decide("pre_request", {"bucket": {"name": "sensitive-bucket"}})
        assert symptoms.shows("is counted for a user", str(refused.value))

        hung = etcd_of(settings["store"]["etcd"]["data_dir"])
        os.kill(hung, signal.SIGSTOP)
        try:
            decision = await cluster.decide_strict("pre_request", strictly)
            assert not decision.permitted
            assert symptoms.shows("the log did not answer in time", caplog.text)
            assert cluster.decide("pre_request", ASKED).permitted
            await until_it_shows(symptoms, cluster, "no quorum has answered for")
            decision = await cluster.decide_strict("pre_request", strictly)
            assert symptoms.shows("the shared count of … cannot be reached", decision.reason)
            message = "the counter log cannot be written"
            await until(lambda: symptoms.shows(message, caplog.text), lambda: caplog.text[-2000:])
        finally:
            os.kill(hung, signal.SIGCONT)
        await until_clustered(cluster)


def etcd_of(data_dir):
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            line = (directory / "cmdline").read_bytes()
            if data_dir.encode() in line and b"etcd" in line.split(b"\0")[0]:
                return int(directory.name)
    raise AssertionError("no etcd runs")


async def test_a_policy_that_fails_blocks_with_its_reason(settings, tmp_path, symptoms):
    settings["store"]["driver"] = "memory"
    settings["policy"]["paths"] = [str(tmp_path / "two.rego")]
    (tmp_path / "two.rego").write_text(
        "package formal.v2\nimport future.keywords.if\n"
        'pre_request := {"action": "block"} if input.user.id == "alice"\n'
        'pre_request := {"action": "mask"} if input.bucket.name == "sensitive-bucket"\n'
    )
    async with Cluster.from_settings(settings) as cluster:
        decision = cluster.decide("pre_request", ASKED)
    assert not decision.permitted
    assert symptoms.shows("policy failed: ", decision.reason)
