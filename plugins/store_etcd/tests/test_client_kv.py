"""Keys on a real etcd that is well."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import time
from dataclasses import replace

import pytest

from formal_cluster.errors import Conflict, NotWritable, OutcomeUnknown, StoreError, Unavailable
from formal_cluster.model import Entry, EventKind
from formal_cluster_store_etcd.client.calls import Calls
from formal_cluster_store_etcd.client.endpoints import Links
from formal_cluster_store_etcd.client.etcd_client import EtcdClient
from formal_cluster_store_etcd.client.kv import KeyValue
from formal_cluster_store_etcd.client.rpc import TlsMaterial

pytestmark = [pytest.mark.etcd, pytest.mark.timeout(240)]


@pytest.fixture
async def client(etcd_single):
    client = EtcdClient([etcd_single.endpoint], timeout_s=30, attempt_s=30)
    yield client
    await client.aclose()


async def test_what_was_put_is_read_back_with_the_revision_that_put_returned(client):
    revision = await client.put(b"key", b"value")
    assert Entry(b"key", b"value", revision) == await client.get(b"key")
    assert await client.get(b"other") is None


async def test_concurrent_puts_get_the_revision_of_their_own_change(client):
    keys = [b"k%d" % n for n in range(50)]
    revisions = await asyncio.gather(*(client.put(key, b"v") for key in keys))
    listed = {entry.key: entry.revision for entry in (await client.list(b"k")).entries}
    assert listed == dict(zip(keys, revisions, strict=True))


async def test_revision_zero_means_that_the_key_must_not_exist(client):
    created = await client.put(b"key", b"1", if_revision=0)
    with pytest.raises(Conflict) as caught:
        await client.put(b"key", b"2", if_revision=0)
    assert created == caught.value.actual
    assert b"1" == (await client.get(b"key")).value


async def test_a_stale_revision_conflicts_and_tells_the_present_one(client):
    old = await client.put(b"key", b"1")
    new = await client.put(b"key", b"2", if_revision=old)
    for change in (
        client.put(b"key", b"3", if_revision=old),
        client.delete(b"key", if_revision=old),
    ):
        with pytest.raises(Conflict) as caught:
            await change
        assert new == caught.value.actual
    assert Entry(b"key", b"2", new) == await client.get(b"key")


async def test_a_revision_of_a_key_that_is_gone_conflicts_with_zero(client):
    gone = await client.put(b"key", b"1")
    await client.delete(b"key")
    with pytest.raises(Conflict) as caught:
        await client.put(b"key", b"2", if_revision=gone)
    assert 0 == caught.value.actual


async def test_of_concurrent_writers_at_one_revision_exactly_one_wins(client):
    base = await client.put(b"key", b"")
    results = await asyncio.gather(
        *(client.put(b"key", b"%d" % n, if_revision=base) for n in range(30)),
        return_exceptions=True,
    )
    winners = [result for result in results if isinstance(result, int)]
    assert [(await client.get(b"key")).revision] == winners
    assert {winners[0]} == {r.actual for r in results if isinstance(r, Conflict)}


async def test_deleting_returns_the_revision_or_none_when_there_was_no_key(client):
    put = await client.put(b"key", b"1")
    assert put + 1 == await client.delete(b"key")
    assert await client.delete(b"key") is None
    assert await client.delete(b"key", if_revision=0) is None
    put = await client.put(b"key", b"1")
    assert put + 1 == await client.delete(b"key", if_revision=put)


async def test_list_holds_the_keys_of_the_prefix_and_no_others(client):
    for key in (b"a", b"a\xff", b"a\xff\x01", b"b"):
        await client.put(key, key)
    assert [b"a", b"a\xff", b"a\xff\x01"] == [e.key for e in (await client.list(b"a")).entries]
    assert [b"a\xff", b"a\xff\x01"] == [e.key for e in (await client.list(b"a\xff")).entries]
    everything = await client.list(b"")
    assert [b"a", b"a\xff", b"a\xff\x01", b"b"] == [entry.key for entry in everything.entries]
    assert everything.entries[-1].revision == everything.revision


async def test_pages_of_a_listing_all_show_one_revision(client, etcd_single):
    for n in range(30):
        await client.put(b"p%02d" % n, b"")
    stop = asyncio.Event()

    async def write_first_then_last() -> None:
        n = 0
        while not stop.is_set():
            n += 1
            await client.put(b"p00", b"%d" % n)
            await client.put(b"p29", b"%d" % n)

    links = Links()
    links.set_endpoints([etcd_single.endpoint])
    pages = KeyValue(links, Calls(links, timeout_s=30, attempt_s=30), page_size=3)
    listings = {}
    async with asyncio.TaskGroup() as group:
        group.create_task(write_first_then_last())
        while len(listings) < 20:  # each of another revision: so there were changes meanwhile
            listing = await pages.list(b"p")
            listings[listing.revision] = listing
        stop.set()
    await links.aclose()

    assert {30} == {len(listing.entries) for listing in listings.values()}
    for listing in listings.values():
        first, last = int(listing.entries[0].value or 0), int(listing.entries[-1].value or 0)
        assert first - last in {0, 1}
        assert max(entry.revision for entry in listing.entries) == listing.revision


class CompactingCalls(Calls):
    """Compacts everything after each of the first `times` reads."""

    def __init__(self, links, etcd, times: int) -> None:
        super().__init__(links, timeout_s=30, attempt_s=30)
        self.etcd = etcd
        self.times = times

    async def read(self, method, request):
        response = await super().read(method, request)
        if self.times:
            self.times -= 1
            newest = self.etcd.ask("kv/put", key="emVybw==", value="")["header"]["revision"]
            self.etcd.compact(int(newest))
        return response


async def test_a_listing_overtaken_by_compaction_starts_again(client, etcd_single):
    await asyncio.gather(*(client.put(b"p%d" % n, b"") for n in range(5)))
    links = Links()
    links.set_endpoints([etcd_single.endpoint])
    keys = KeyValue(links, CompactingCalls(links, etcd_single, times=2), page_size=2)
    assert 5 == len((await keys.list(b"p")).entries)
    keys = KeyValue(links, CompactingCalls(links, etcd_single, times=100), page_size=2)
    with pytest.raises(Unavailable, match="overtaken by compaction"):
        await keys.list(b"p")
    await links.aclose()


async def test_a_key_with_a_ttl_vanishes_with_a_delete_event(client):
    updates = client.watch(b"key")
    await anext(updates)
    began = time.monotonic()
    await client.put(b"key", b"v", ttl=0.3)
    async for update in updates:
        if update.events and update.events[-1].kind is EventKind.DELETE:
            break
    assert time.monotonic() - began >= 1.0, "etcd's leases live for a second at least"
    assert await client.get(b"key") is None
    await updates.aclose()


async def test_the_lease_of_a_put_that_failed_is_revoked(client, etcd_single, eventually):
    await client.put(b"key", b"v")
    with pytest.raises(Conflict):
        await client.put(b"key", b"w", if_revision=0, ttl=3600)
    await eventually(lambda: not etcd_single.ask("lease/leases").get("leases"))


async def test_a_plain_put_takes_the_ttl_off(client, etcd_single):
    await client.put(b"key", b"v", ttl=3600)
    await client.put(b"key", b"v")
    assert "lease" not in etcd_single.ask("kv/range", key="a2V5")["kvs"][0]


@pytest.mark.parametrize("size", [2_000_000, 20_000_000])
async def test_a_value_that_etcd_cannot_take_is_refused_for_good(client, size):
    with pytest.raises(StoreError, match=r"larger than max|too large") as caught:
        await client.put(b"key", bytes(size))
    assert StoreError is type(caught.value)
    assert await client.get(b"key") is None


async def test_an_empty_key_is_refused(client):
    with pytest.raises(StoreError, match="key is not provided"):
        await client.put(b"", b"v")


async def fill_until_refused(client: EtcdClient) -> dict[bytes, type[BaseException] | None]:
    """Put more than 2 MiB takes; what became of each key, None for a put that was acknowledged."""
    outcomes: dict[bytes, type[BaseException] | None] = {}

    async def write(worker: int) -> None:
        for n in itertools.count():
            key = b"%d/%d" % (worker, n)
            try:
                await client.put(key, bytes(5_000), if_revision=0 if n % 2 else None)
                outcomes[key] = None
            except (NotWritable, OutcomeUnknown) as error:
                outcomes[key] = type(error)
            if outcomes[key] is NotWritable:
                return

    # etcd learns ten times a second how large it is: then some puts, which have passed its first
    # check, are under way to the second one, which is made when they are applied.
    await asyncio.gather(*(write(worker) for worker in range(30)))
    return outcomes


async def test_a_full_store_is_not_writable_and_no_write_refused_as_such_was_applied(etcd_start):
    for attempt in range(8):
        full = etcd_start(f"full-{attempt}", "--quota-backend-bytes", str(2 << 20))
        client = EtcdClient([full.endpoint], timeout_s=30, attempt_s=30)
        outcomes = await fill_until_refused(client)
        present = frozenset(entry.key for entry in (await client.list(b"")).entries)
        with pytest.raises(NotWritable, match="quota"):
            await client.put(b"lease", b"", ttl=60)
        assert await client.delete(min(present))
        await client.aclose()
        full.kill()

        assert {key for key, outcome in outcomes.items() if outcome is None} <= present
        assert NotWritable in outcomes.values()
        assert NotWritable not in {outcomes[key] for key in present}
        if OutcomeUnknown in {outcomes[key] for key in present}:
            return
    pytest.fail("no write met the quota's edge, where etcd applies it and refuses it")


async def test_ping_says_which_cluster_answered_and_how_far_it_is(client, etcd_single):
    revision = await client.put(b"key", b"v")
    header = etcd_single.ask("maintenance/status")["header"]
    answer = await client.ping()
    assert (int(header["cluster_id"]), int(header["member_id"]), revision) == answer


class SelfSigned:
    """A certificate for the address `host`, and its key."""

    def __init__(self, directory, name: str, host: str) -> None:
        certificate, key = directory / f"{name}.crt", directory / f"{name}.key"
        subprocess.run(
            [
                *(
                    "openssl",
                    "req",
                    "-x509",
                    "-newkey",
                    "ec",
                    "-pkeyopt",
                    "ec_paramgen_curve:P-256",
                ),
                *("-nodes", "-days", "2", "-subj", f"/CN={name}"),
                *("-addext", f"subjectAltName=IP:{host}", "-keyout", key, "-out", certificate),
            ],
            check=True,
            capture_output=True,
        )
        self.certificate_file, self.key_file = str(certificate), str(key)
        self.certificate, self.key = certificate.read_bytes(), key.read_bytes()


async def test_tls_works_only_if_both_sides_trust_each_other(etcd_make, tmp_path):
    etcd = etcd_make("secure", scheme="https")
    server = SelfSigned(tmp_path, "server", etcd.endpoint.host)
    own = SelfSigned(tmp_path, "client", etcd.endpoint.host)
    etcd.flags += ("--cert-file", server.certificate_file, "--key-file", server.key_file)
    etcd.flags += ("--client-cert-auth", "--trusted-ca-file", own.certificate_file)
    etcd.start()

    tls = TlsMaterial(ca=server.certificate, certificate=own.certificate, key=own.key)
    trusted = EtcdClient([etcd.endpoint], tls=tls, timeout_s=60)
    await trusted.put(b"key", b"v")
    assert b"v" == (await trusted.get(b"key")).value
    await trusted.aclose()

    strangers = (None, TlsMaterial(ca=server.certificate), replace(tls, ca=own.certificate))
    for stranger in strangers:
        client = EtcdClient([etcd.endpoint], tls=stranger, timeout_s=1)
        with pytest.raises(Unavailable):
            await client.put(b"key", b"w")
        await client.aclose()


def test_the_private_key_is_not_shown_in_logs():
    assert "secret" not in repr(TlsMaterial(ca=b"", certificate=b"", key=b"secret"))


async def test_an_ipv6_endpoint_works(etcd_start):
    client = EtcdClient([etcd_start("six", host="::1").endpoint], timeout_s=30)
    await client.put(b"key", b"v")
    assert b"v" == (await client.get(b"key")).value
    await client.aclose()


async def test_child_processes_can_be_started_beside_open_connections(client, capfd):
    updates = client.watch(b"key")
    await anext(updates)
    child = await asyncio.create_subprocess_exec("true")
    assert 0 == await child.wait()
    await client.put(b"key", b"v")
    async for update in updates:
        if update.events:
            break
    assert b"v" == update.events[0].value
    await updates.aclose()
    assert ("", "") == capfd.readouterr()
