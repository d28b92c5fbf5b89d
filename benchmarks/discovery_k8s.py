"""What following 1,000 pods costs: memory held, and watch events applied per second.

    python -m benchmarks.discovery_k8s

The API server, ours from the conformance suite, runs in a process of its own, so that the figures
are those of the driver, with the official client, TLS and JSON in them. The pods are as large as
those of a real cluster.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import sys
import tempfile
import time
import tracemalloc
from contextlib import aclosing
from pathlib import Path

from formal_cluster.hookspecs import DiscoveryContext
from formal_cluster.model import View
from formal_cluster_conformance.k8s import ApiServer, documents
from formal_cluster_conformance.k8s.resources import NAMESPACES, PODS, Target
from formal_cluster_discovery_k8s.driver import K8sDiscovery
from formal_cluster_discovery_k8s.plugin import create_discovery
from formal_cluster_discovery_k8s.settings import K8sSettings

_PODS = 1_000
_EVENTS = 10_000
_NAMESPACE = "bench"
_BALLAST = 3_500
"""Bytes that make a pod of ours as large as a real one, which is mostly its managed fields."""
_MIB = 1 << 20


# ── the server's process ─────────────────────────────────────────────────────────────────────────


async def serve(directory: Path) -> None:
    """Serve 1,000 pods; change them `n` times for each line `n` that is read."""
    async with ApiServer(directory) as server:
        store = server.store
        store.create(Target(NAMESPACES, None), documents.named("Namespace", _NAMESPACE))
        for number in range(_PODS):
            _run_pod(server, f"connector-{number}", f"10.0.{number // 250}.{number % 250}")
        server.write_kubeconfig(directory / "kubeconfig", namespace=_NAMESPACE)
        size = len(json.dumps(store.get(Target(PODS, _NAMESPACE, "connector-0"))))
        print(size, flush=True)
        loop = asyncio.get_running_loop()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            for number in range(int(line)):
                phase = ("Pending", "Running")[number // _PODS % 2]
                _set_phase(server, f"connector-{number % _PODS}", phase)
                if number % 50 == 0:
                    await asyncio.sleep(0)  # let the watches send
            _run_pod(server, "last", "10.9.9.9")


def _run_pod(server: ApiServer, name: str, address: str) -> None:
    document = documents.pod(name, labels={"app": "connector"}, node="node-1")
    document["metadata"]["annotations"] = {"ballast": "x" * _BALLAST}
    server.store.create(Target(PODS, _NAMESPACE), document)
    document["status"] = documents.running([address], ready=True, started="2026-11-01T00:00:00Z")
    server.store.replace(Target(PODS, _NAMESPACE, name, "status"), document)


def _set_phase(server: ApiServer, name: str, phase: str) -> None:
    target = Target(PODS, _NAMESPACE, name, "status")
    status = server.store.get(target)["status"]
    server.store.replace(target, {"metadata": {"name": name}, "status": {**status, "phase": phase}})


# ── the driver's process ─────────────────────────────────────────────────────────────────────────


def _driver(kubeconfig: Path) -> K8sDiscovery:
    settings = K8sSettings(kubeconfig=kubeconfig, label_selector="app=connector")
    driver = create_discovery(settings, DiscoveryContext(None, logging.getLogger("bench")))
    assert isinstance(driver, K8sDiscovery)
    return driver


def _resident() -> float:
    """Resident memory of this process, MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / _MIB


async def memory(kubeconfig: Path) -> list[str]:
    """What the client and what a followed view of 1,000 pods hold."""
    before = _resident()
    import formal_cluster_discovery_k8s.sdk  # noqa: F401  as the first use of the driver does

    imported = _resident()
    driver = _driver(kubeconfig)
    async with aclosing(driver.watch()) as views:
        view = await anext(views)
        gc.collect()
        followed = _resident()
        assert len(view.instances) == _PODS
    await driver.aclose()

    gc.collect()
    tracemalloc.start()
    driver = _driver(kubeconfig)
    async with aclosing(driver.watch()) as views:
        view = await anext(views)
        gc.collect()
        held, peak = (size / _MIB for size in tracemalloc.get_traced_memory())
        assert len(view.instances) == _PODS
    tracemalloc.stop()
    await driver.aclose()
    return [
        f"| resident memory for the official client | {imported - before:.0f} MiB |",
        f"| resident memory for following {_PODS:,} pods | {followed - imported:.0f} MiB |",
        f"| held by the view and all behind it | {held:.1f} MiB |",
        f"| most held while listing | {peak:.1f} MiB |",
    ]


async def events(kubeconfig: Path, server: asyncio.subprocess.Process) -> list[str]:
    """How fast changes arrive in views, and what they cost this process."""
    driver = _driver(kubeconfig)
    views = 0
    async with aclosing(driver.watch()) as watch:
        view: View = await anext(watch)
        await asyncio.sleep(0.5)  # until the watch is under way: its start is not to be measured
        assert server.stdin is not None
        server.stdin.write(f"{_EVENTS}\n".encode())
        begun, cpu = time.perf_counter(), time.process_time()
        while not any(instance.address == "10.9.9.9" for instance in view.instances):
            view = await anext(watch)
            views += 1
        elapsed, cpu = time.perf_counter() - begun, time.process_time() - cpu
    await driver.aclose()
    return [
        f"| watch events applied, each of which changes the view | {_EVENTS / elapsed:,.0f}/s |",
        f"| … of one core, per 1,000 events | {cpu / _EVENTS * 1e6:.0f} ms |",
        f"| … views yielded | {views:,} |",
    ]


async def run() -> str:
    """Everything; the report as Markdown."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        server = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.discovery_k8s", "--serve", str(directory)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            assert server.stdout is not None
            size = int(await server.stdout.readline())
            kubeconfig = directory / "kubeconfig"
            rows = [*await memory(kubeconfig), *await events(kubeconfig, server)]
        finally:
            server.kill()
            await server.wait()
    head = [f"| Kubernetes: {_PODS:,} pods of {size / 1024:.1f} KiB each | |", "|---|--:|"]
    return "\n".join([*head, *rows])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.discovery_k8s",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    directory = parser.parse_args().serve
    if directory is not None:
        asyncio.run(serve(directory))
    else:
        print(asyncio.run(run()))


if __name__ == "__main__":
    main()
