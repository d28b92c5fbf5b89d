"""The certificate files: what is found out about them before anyone relies on them."""

from __future__ import annotations

import logging
import random
import shutil
import socket
import ssl
import subprocess
import time
from contextlib import asynccontextmanager

import pytest

from formal_cluster.model import Instance
from formal_cluster_store_etcd.member.status_server import serve_status
from formal_cluster_store_etcd.peers import probe
from formal_cluster_store_etcd.peers.probe import Prober
from formal_cluster_store_etcd.planning.identity import Identity
from formal_cluster_store_etcd.planning.observations import NoEtcd
from formal_cluster_store_etcd.planning.peer_status import status_of
from formal_cluster_store_etcd.settings import TlsSettings
from formal_cluster_store_etcd.tls.credentials import TlsUnusable, load
from formal_cluster_store_etcd.tls.keeper import CredentialsKeeper
from formal_cluster_store_etcd.urls import Endpoint

HERE = f"127.{random.randint(1, 254)}.{random.randint(0, 254)}.{random.randint(1, 254)}"
DAY_S = 86_400
STATUS = status_of(Identity.fresh("a", f"https://{HERE}:2380", "00000001"), None)


class Connections:
    """What makes gRPC connections."""

    def __init__(self):
        self.told = []

    def set_tls(self, tls):
        self.told.append(tls)


@pytest.fixture
def files(authority, tmp_path):
    """Good ones of this test's own, as settings."""
    shutil.copy(authority.ca, tmp_path / "ca.crt")
    return {**authority.issue("a", HERE, into=tmp_path), "ca": tmp_path / "ca.crt"}


@pytest.fixture
def keep(files):
    def keep(clock=time.time, **changes):
        connections = Connections()
        keeper = CredentialsKeeper(
            TlsSettings(**{**files, **changes}),
            own_address=HERE,
            connecting=[connections],
            logger=logging.getLogger("test"),
            clock=clock,
        )
        return keeper, connections

    return keep


def test_good_files_give_what_both_sides_need_and_the_date_they_end(files):
    credentials = load(TlsSettings(**files), own_address=HERE)
    assert ssl.CERT_REQUIRED is credentials.server.verify_mode
    assert ssl.CERT_REQUIRED is credentials.client.verify_mode
    assert credentials.client.check_hostname
    assert 29 * DAY_S < credentials.expires_at - time.time() <= 30 * DAY_S
    assert files["key"].read_bytes() == credentials.material.key


def test_the_authority_may_be_what_ends_first(authority, files):
    credentials = load(
        TlsSettings(**{**files, **authority.issue("long", HERE, days=99)}), own_address=HERE
    )
    assert authority.ca == credentials.expiring
    assert credentials.expires_at - time.time() < 61 * DAY_S


@pytest.mark.parametrize(
    ("issue", "words"),
    [
        ({"days": -1}, "certificate has expired. Put a new certificate into its place"),
        ({"purposes": "serverAuth"}, "unsuitable certificate purpose. It must be good for both"),
        ({"purposes": "clientAuth"}, "unsuitable certificate purpose. It must be good for both"),
    ],
)
def test_a_certificate_that_others_would_refuse_is_refused_here(authority, files, issue, words):
    refused = {**files, **authority.issue("refused", HERE, **issue)}
    with pytest.raises(TlsUnusable, match=words) as raised:
        load(TlsSettings(**refused), own_address=HERE)
    assert str(refused["certificate"]) in str(raised.value)


def test_a_certificate_must_name_the_address(files):
    with pytest.raises(TlsUnusable, match=r"not valid for '10\.0\.0\.9'\. See docs/tls\.md"):
        load(TlsSettings(**files), own_address="10.0.0.9")


def test_a_certificate_of_another_authority_is_refused(files, strangers):
    with pytest.raises(TlsUnusable, match="unable to get local issuer certificate"):
        load(TlsSettings(**{**files, "ca": strangers.ca}), own_address=HERE)


@pytest.mark.parametrize("name", ["ca", "certificate", "key"])
@pytest.mark.parametrize("own_address", [HERE, None], ids=["own address", "no address"])
def test_a_missing_and_a_broken_file_is_named(files, name, own_address):
    settings = TlsSettings(**files)
    files[name].write_text("-----BEGIN nothing\n")
    with pytest.raises(TlsUnusable, match=str(files[name])):
        load(settings, own_address=own_address)
    files[name].unlink()
    with pytest.raises(TlsUnusable, match=f"store.etcd.tls.{name} {files[name]} cannot be read"):
        load(settings, own_address=own_address)


def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_a_password(files):
    encrypted = files["key"].with_suffix(".encrypted")
    encrypt = ("openssl", "pkcs8", "-topk8", "-passout", "pass:x")
    subprocess.run([*encrypt, "-in", files["key"], "-out", encrypted], check=True)
    with pytest.raises(TlsUnusable, match="the key is encrypted"):
        load(TlsSettings(**{**files, "key": encrypted}), own_address=HERE)


def test_a_mere_client_may_have_a_clients_certificate_of_whichever_authority(authority, strangers):
    tls = {**authority.issue("client", days=3, purposes="clientAuth"), "ca": strangers.ca}
    credentials = load(TlsSettings(**tls), own_address=None)
    assert tls["certificate"] == credentials.expiring
    assert 2 * DAY_S < credentials.expires_at - time.time() <= 3 * DAY_S

    expired = {**authority.issue("expired", days=-1), "ca": strangers.ca}
    with pytest.raises(TlsUnusable, match="certificate has expired"):
        load(TlsSettings(**expired), own_address=None)


def test_a_mere_client_may_have_no_certificate(authority):
    credentials = load(TlsSettings(ca=authority.ca), own_address=None)
    assert authority.ca == credentials.expiring
    assert credentials.server is None


async def test_files_are_read_anew_when_they_change_and_only_then(keep, files, authority, tmp_path):
    keeper, connections = keep()
    await keeper.renew()
    await keeper.renew()
    assert [files["certificate"].read_bytes()] == [tls.certificate for tls in connections.told]
    authority.issue("a", HERE, into=tmp_path)
    await keeper.renew()
    assert files["certificate"].read_bytes() == connections.told[-1].certificate
    assert 2 == len(connections.told)


async def test_files_caught_half_written_leave_the_last_good_ones_in_use(keep, files):
    keeper, connections = keep()
    await keeper.renew()
    whole = files["key"].read_bytes()
    files["key"].write_bytes(whole[:100])
    with pytest.raises(TlsUnusable):
        await keeper.renew()
    assert keeper.server
    assert keeper.client
    (warning,) = keeper.warnings
    assert warning.endswith("Until then the files read before are used")

    files["key"].write_bytes(whole)
    await keeper.renew()
    assert () == keeper.warnings
    assert whole == connections.told[-1].key


async def test_the_end_is_told_fourteen_days_ahead(keep, files):
    now = time.time()
    keeper, _ = keep(clock=lambda: now)
    await keeper.renew()
    assert () == keeper.warnings
    now += 20 * DAY_S
    (warning,) = keeper.warnings
    assert warning.startswith(f"{files['certificate']} expires in 10 days. Put a new one")

    now += 10 * DAY_S
    (warning,) = keeper.warnings
    assert warning.startswith(f"{files['certificate']} has expired. Put a new one")


async def test_an_expired_certificate_is_not_used_at_all(keep, authority, tmp_path):
    authority.issue("a", HERE, days=-1, into=tmp_path)
    keeper, connections = keep()
    with pytest.raises(TlsUnusable, match="certificate has expired"):
        await keeper.renew()
    assert [] == connections.told


@pytest.fixture
async def serve(keep):
    @asynccontextmanager
    async def serve(keeper):
        where = Endpoint(HERE, free_port())
        async with serve_status(where, lambda: STATUS, keeper.server):
            yield where

    return serve


@pytest.fixture(autouse=True)
def _time_to_answer(monkeypatch):
    """On a slow machine, too."""
    monkeypatch.setattr(probe, "_ANSWER_S", 20.0)


async def ask(where, keeper):
    async with Prober(2379, 2380, keeper) as prober:
        return (await prober.ask_all([Instance("a", where.host, peer_port=where.port)]))["a"]


async def test_a_status_server_takes_on_new_certificates_and_authorities_while_it_runs(
    keep, serve, files, strangers, tmp_path
):
    serving, _ = keep()
    asking, _ = keep()
    await serving.renew()
    await asking.renew()
    async with serve(serving) as where:
        assert NoEtcd(STATUS) == await ask(where, asking)
        strangers.issue("a", HERE, into=tmp_path)
        shutil.copy(strangers.ca, files["ca"])
        await serving.renew()
        found = await ask(where, asking)
        assert "with a certificate that is not trusted here" in found.reason
        await asking.renew()
        assert NoEtcd(STATUS) == await ask(where, asking)


async def test_one_without_tls_among_those_with_it_is_told_apart(keep):
    keeper, _ = keep()
    await keeper.renew()
    where = Endpoint(HERE, free_port())
    async with serve_status(where, lambda: STATUS):
        found = await ask(where, keeper)
    assert found.is_etcd, "no cluster is founded beside it"
    assert "answers, but without TLS: set store.etcd.tls on all instances" in found.reason


async def test_one_who_refuses_our_certificate_is_told_apart(
    keep, serve, files, authority, strangers, tmp_path
):
    serving, _ = keep(**{**strangers.issue("a", HERE), "ca": strangers.ca})
    both = tmp_path / "both.crt"
    both.write_bytes(strangers.ca.read_bytes() + authority.ca.read_bytes())
    asking, _ = keep(ca=both)
    await serving.renew()
    await asking.renew()
    async with serve(serving) as where:
        found = await ask(where, asking)
    assert found.is_etcd, "no cluster is founded beside it"
    assert "hangs up: it may want another certificate than ours" in found.reason


@pytest.mark.etcd
async def test_one_with_tls_among_those_without_it_is_told_apart(files, etcd_make):
    etcd = etcd_make("a-0123abcd")
    etcd.peer_scheme = "https"
    etcd.flags = ("--peer-cert-file", files["certificate"], "--peer-key-file", files["key"])
    etcd.start()
    etcd.wait_ready()
    found = await ask(etcd.peer, None)
    assert found.is_etcd
    assert "hangs up: it may want TLS" in found.reason


def free_port() -> int:
    with socket.create_server((HERE, 0)) as probe:
        return probe.getsockname()[1]
