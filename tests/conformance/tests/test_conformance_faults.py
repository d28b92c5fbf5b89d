"""What the suite brings: processes that it kills and pauses, and ways that it cuts and slows."""

import asyncio
import contextlib
import sys
import time

import pytest

from formal_cluster_conformance import Address, NodeFailed, ProcessNode, TcpProxy, free_port

ECHO = """
import pathlib, socketserver, sys
class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line)
pathlib.Path(sys.argv[2], "started").open("a").write("x")
socketserver.ThreadingTCPServer.allow_reuse_address = True
with socketserver.ThreadingTCPServer(("127.0.0.1", int(sys.argv[1])), Echo) as server:
    server.serve_forever()
"""


@pytest.fixture
async def node(tmp_path):
    port, data = free_port(), tmp_path / "data"
    command = [sys.executable, "-c", ECHO, str(port), data]
    async with ProcessNode("echo", command, Address("127.0.0.1", port), data=data) as node:
        await node.restart()
        await node.wait_listening()
        yield node


@contextlib.asynccontextmanager
async def connection(address):
    reader, writer = await asyncio.open_connection(*address)

    async def ask(within_s=50.0):
        writer.write(b"hello\n")
        async with asyncio.timeout(within_s):
            return await reader.readline()

    try:
        yield ask
    finally:
        writer.transport.abort()


async def test_a_killed_node_is_dead_and_comes_back_with_its_disk_or_without(node):
    await node.kill()
    assert not node.running
    with pytest.raises(OSError, match="Connect"):
        await asyncio.open_connection(*node.address)

    await node.restart()
    await node.wait_listening()
    expected = "xx"
    assert expected == (node.data / "started").read_text()

    await node.kill()
    await node.restart(wipe=True)
    await node.wait_listening()
    expected = "x"
    assert expected == (node.data / "started").read_text()


async def test_a_paused_node_answers_nothing_until_it_goes_on(node):
    async with connection(node.address) as ask:
        await ask()
        await node.pause()
        with pytest.raises(TimeoutError):
            await ask(0.1)

        await node.resume()

        expected = b"hello\n"
        assert expected == await ask()


async def test_a_node_that_cannot_start_is_told_with_its_output(tmp_path):
    command = [sys.executable, "-c", "raise SystemExit('no licence')"]
    address = Address("127.0.0.1", free_port())
    async with ProcessNode("broken", command, address, data=tmp_path / "data") as node:
        await node.restart()
        with pytest.raises(NodeFailed, match="no licence"):
            await node.wait_listening()


async def test_a_cut_way_is_silent_and_goes_on_after_healing(node):
    async with TcpProxy(node.address) as proxy, connection(proxy.address) as ask:
        await ask()
        proxy.cut()
        with pytest.raises(TimeoutError):
            await ask(0.1)

        proxy.heal()

        expected = b"hello\n"
        assert expected == await ask()


async def test_a_slow_way_delays_each_direction(node):
    async with TcpProxy(node.address) as proxy, connection(proxy.address) as ask:
        await ask()
        proxy.delay_s = 0.1
        begun = time.monotonic()

        await ask()

        assert time.monotonic() - begun >= 0.2


async def test_the_end_of_a_node_ends_the_connections_through_the_proxy(node):
    async with TcpProxy(node.address) as proxy, connection(proxy.address) as ask:
        await ask()

        await node.kill()

        with contextlib.suppress(ConnectionError):
            expected = b""
            assert expected == await ask()
