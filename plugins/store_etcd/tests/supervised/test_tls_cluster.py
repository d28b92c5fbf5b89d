"""A cluster by TLS: who has no certificate of the authority is nobody."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from pathlib import Path

import aiohttp
import pytest

from formal_cluster.errors import OutcomeUnknown, Unavailable
from formal_cluster.model import Role, StoreState, View
from formal_cluster_store_etcd.client.cluster_api import ClusterApi
from formal_cluster_store_etcd.client.etcd_client import EtcdClient
from formal_cluster_store_etcd.client.rpc import TlsMaterial
from formal_cluster_store_etcd.planning.peer_status import PATH
from formal_cluster_store_etcd.urls import Endpoint

pytestmark = [pytest.mark.etcd, pytest.mark.slow, pytest.mark.timeout(500)]


def formed(everyone) -> bool:
    ids = {instance.id for instance in everyone}
    return all(i.serves and i.members(Role.VOTER) == ids for i in everyone)


async def write(instance, value: bytes) -> int | None:
    try:
        return await instance.store.put(b"key", value)
    except (Unavailable, OutcomeUnknown):
        return None


async def test_three_form_a_cluster_fail_over_and_restart_by_tls(fleet, start_all, eventually):
    everyone = fleet(3, tls=True)
    await start_all(everyone)
    await eventually(lambda: formed(everyone))
    members = await members_of(everyone[0])
    assert all(m.peer_urls[0].startswith("https://") for m in members)
    assert all(m.client_urls[0].startswith("https://") for m in members)

    leader = await eventually(lambda: next((i for i in everyone if i.id == i.status.leader), None))
    killed = leader.etcd_pid
    leader.kill_etcd()
    other = next(i for i in everyone if i is not leader)
    await eventually(lambda: write(other, b"written without the leader"))
    await eventually(lambda: formed(everyone) and leader.etcd_pid not in {None, killed})

    await asyncio.gather(*(i.stop() for i in everyone))
    await start_all(everyone)
    await eventually(lambda: formed(everyone))
    assert b"written without the leader" == await leader.read(b"key")


async def test_new_certificates_are_used_without_a_restart_and_broken_ones_never(
    fleet, start_all, eventually, authority
):
    everyone = _one, two = fleet(2, tls=True)
    await start_all(everyone)
    await eventually(lambda: two.members(Role.LEARNER) == {two.id})
    pids = [i.etcd_pid for i in everyone]
    before = two.settings["tls"]["certificate"].read_bytes()

    two.settings["tls"]["certificate"].write_bytes(before[: len(before) // 2])
    await eventually(lambda: "are not a certificate and its own key" in "".join(warnings(two)))
    await eventually(lambda: write(two, b"by the certificate read before"))

    authority.issue(two.id, two.instance.address, into=tls_directory(two))
    await eventually(lambda: warnings(two) == ())
    await eventually(lambda: write(two, b"by the new one"))
    assert pids == [i.etcd_pid for i in everyone]
    for port in (two.instance.client_port, two.instance.peer_port):
        newest = ssl.PEM_cert_to_DER_cert(two.settings["tls"]["certificate"].read_text())
        assert newest == await shown_at(two.instance.address, port, two.settings["tls"])
    assert before != two.settings["tls"]["certificate"].read_bytes()


async def test_without_a_certificate_of_the_authority_nobody_reads_joins_or_asks(
    fleet, start_all, eventually, strangers, authority
):
    one, two, foreign = fleet(3, tls=True, genesis_deadline_s=0.5)
    strangers.issue(foreign.id, foreign.instance.address, into=tls_directory(foreign))
    foreign.settings["tls"] = {**foreign.settings["tls"], "ca": strangers.ca}
    plain = two
    plain.settings.pop("tls")
    await one.start()
    await foreign.start()
    await plain.start()

    peer = Endpoint(one.instance.address, one.instance.peer_port)
    client = Endpoint(one.instance.address, one.instance.client_port)
    await eventually(lambda: "with a certificate that is not trusted here" in one.error)
    await nobody_gets(f"https://{peer}{PATH}", foreign, authority)  # the status document

    one.discovery.view = View((one.instance,))
    await eventually(lambda: one.serves)
    await one.put(b"key", b"secret")
    await nobody_gets(f"https://{peer}/members", foreign, authority)
    await nobody_gets(f"https://{client}/v3/kv/range", foreign, authority)
    for tls in (None, TlsMaterial(authority.ca.read_bytes()), foreign.tls):
        stranger = EtcdClient([client], tls=tls, timeout_s=1)
        with pytest.raises(Unavailable):
            await stranger.get(b"key")
        await stranger.aclose()
    await eventually(lambda: "with a certificate that is not trusted here" in foreign.error)
    await eventually(lambda: "hangs up: it may want TLS" in plain.error)
    for other in (foreign, plain):
        assert StoreState.STARTING is other.status.state
        assert other.status.cluster_id is None
        with pytest.raises(Unavailable):
            await other.store.get(b"key")


@pytest.mark.parametrize("what", ["missing", "expired", "mismatched", "for another address"])
async def test_files_that_cannot_be_used_are_named_and_when_mended_the_instance_serves(
    fleet, eventually, authority, tmp_path, what
):
    (one,) = fleet(1, tls=True)
    into, tls = tls_directory(one), one.settings["tls"]
    good = shutil.copytree(into, tmp_path / "good")
    if what == "missing":
        tls["key"].unlink()
    elif what == "expired":
        authority.issue(one.id, one.instance.address, days=-1, into=into)
    elif what == "mismatched":
        tls["key"].write_bytes(authority.issue("other")["key"].read_bytes())
    else:
        authority.issue(one.id, "127.9.9.9", into=into)
    said = {
        "missing": f"store.etcd.tls.key {tls['key']} cannot be read: No such file or directory",
        "expired": "would be refused by the others: certificate has expired. Put a new",
        "mismatched": "are not a certificate and its own key",
        "for another address": f"certificate is not valid for '{one.instance.address}'",
    }
    await one.start()
    await eventually(lambda: one.status.state is StoreState.FAILED)
    assert said[what] in one.error
    assert one.etcd_pid is None
    with pytest.raises(Unavailable, match=r"store\.etcd\.tls"):
        await one.store.put(b"key", b"value")

    shutil.copytree(good, into, dirs_exist_ok=True)
    await eventually(lambda: one.serves)


@pytest.mark.parametrize("on_first", [True, False])
async def test_tls_is_switched_for_all_at_once_and_the_data_stays(
    fleet, start_all, eventually, on_first
):
    everyone = fleet(3, tls=True)
    tables = [instance.settings.pop("tls") for instance in everyone]

    def switch(*, on):
        for instance, table in zip(everyone, tables, strict=True):
            instance.settings.pop("tls", None)
            instance.settings |= {"tls": table} if on else {}

    switch(on=on_first)
    await start_all(everyone)
    await eventually(lambda: formed(everyone))
    await everyone[0].put(b"key", b"kept")
    await asyncio.gather(*(instance.stop() for instance in everyone))
    switch(on=not on_first)
    await start_all(everyone)
    await eventually(lambda: formed(everyone))
    assert b"kept" == await everyone[2].read(b"key")


async def test_while_tls_is_being_switched_on_no_second_cluster_is_founded(fleet, eventually):
    old, new = fleet(2, tls=True, genesis_deadline_s=0)
    old.settings.pop("tls")
    old.discovery.view = View((old.instance,))
    await old.start()
    await eventually(lambda: old.serves)
    await new.start()
    await eventually(lambda: "answers, but without TLS" in new.error)
    assert "no cluster is founded beside" in new.error
    assert new.etcd_pid is None

    await old.stop()
    new.discovery.view = View((new.instance,))
    await eventually(lambda: new.serves)


def tls_directory(instance) -> Path:
    return instance.settings["tls"]["certificate"].parent


def warnings(instance) -> tuple[str, ...]:
    return instance.status.warnings


async def shown_at(host: str, port: int, tls: dict[str, Path]) -> bytes:
    """The certificate that etcd shows there."""
    context = ssl.create_default_context(cafile=tls["ca"])
    context.load_cert_chain(tls["certificate"], tls["key"])
    _, writer = await asyncio.open_connection(host, port, ssl=context)
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    await writer.wait_closed()
    return shown


async def members_of(instance):
    api = ClusterApi(instance.tls)
    endpoint = Endpoint(instance.instance.address, instance.instance.client_port)
    return (await api.members(endpoint)).members


async def nobody_gets(url: str, foreign, authority) -> None:
    """Neither without a certificate, nor with one of another authority, nor in the clear."""
    without = ssl.create_default_context(cafile=authority.ca)
    with_foreign = ssl.create_default_context(cafile=authority.ca)
    tls = foreign.settings["tls"]
    with_foreign.load_cert_chain(tls["certificate"], tls["key"])
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        for context in (without, with_foreign):
            with pytest.raises(aiohttp.ClientError):
                await get(session, url, ssl=context)
        try:
            answer = await get(session, url.replace("https:", "http:"))
        except aiohttp.ClientError:
            return
        assert b"Client sent an HTTP request to an HTTPS server." in answer


async def get(session, url: str, **options) -> bytes:
    async with session.get(url, **options) as response:
        return await response.read()
