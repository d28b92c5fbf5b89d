"""What an attempt to run etcd works with: the program, the directory, and who we are in it."""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from formal_cluster.model import Instance
from formal_cluster_store_etcd.member import identity_file
from formal_cluster_store_etcd.member.binary import Binary, inspect, search
from formal_cluster_store_etcd.member.copies_on_disk import CopiesOnDisk, Label
from formal_cluster_store_etcd.member.data_dir import DataDir
from formal_cluster_store_etcd.member.etcd_command import Member
from formal_cluster_store_etcd.member.failures import CannotStart, Place
from formal_cluster_store_etcd.member.ports import ensure_free
from formal_cluster_store_etcd.member.rebuild import rebuild
from formal_cluster_store_etcd.member.requests import drop_request, is_requested
from formal_cluster_store_etcd.member.restore_tool import find_restore_tool
from formal_cluster_store_etcd.planning.identity import Identity, Stage
from formal_cluster_store_etcd.planning.peer_status import PeerStatus, status_of
from formal_cluster_store_etcd.planning.presence import Presence
from formal_cluster_store_etcd.planning.transitions import restored
from formal_cluster_store_etcd.settings import EtcdSettings
from formal_cluster_store_etcd.tls.credentials import TlsUnusable
from formal_cluster_store_etcd.tls.keeper import CredentialsKeeper
from formal_cluster_store_etcd.urls import Endpoint, member_url


class Workplace:
    """Ours until `close`. Make it with `workplace`."""

    def __init__(
        self,
        settings: EtcdSettings,
        instance: Instance,
        *,
        listen: str,
        binary: Binary,
        directory: DataDir,
        own: Identity,
        logger: logging.Logger,
    ) -> None:
        self._instance = instance
        self._client_port = instance.client_port or settings.client_port
        self._peer_port = instance.peer_port or settings.peer_port
        self._listen = listen
        self._scheme = settings.scheme
        self.binary = binary
        self.directory = directory
        self.own = own
        self.copies = CopiesOnDisk(directory)
        self._logger = logger
        self._changing = asyncio.Lock()

    @property
    def client_endpoint(self) -> Endpoint:
        """Where etcd listens for clients."""
        return Endpoint(self._listen, self._client_port)

    @property
    def peer_endpoint(self) -> Endpoint:
        """Where etcd listens for the other members; before it runs, the status document."""
        return Endpoint(self._listen, self._peer_port)

    @property
    def peer_url(self) -> str:
        """Where the other instances reach the peer port now."""
        return member_url(self._scheme, self._instance.address, self._peer_port)

    @property
    def member(self) -> Member:
        """The member that etcd is, or is to be."""
        return Member(
            name=self.own.member,
            address=self._instance.address,
            listen=self._listen,
            client_port=self._client_port,
            peer_port=self._peer_port,
            scheme=self._scheme,
        )

    @property
    def place(self) -> Place:
        """What messages about failures name."""
        return Place(str(self.directory.path), str(self.client_endpoint), str(self.peer_endpoint))

    @property
    def presence(self) -> Presence:
        """What the cluster is told about this instance."""
        return Presence(
            instance=self.own.instance,
            incarnation=self.own.incarnation,
            member=self.own.member,
            address=self._instance.address,
            client_port=self._client_port,
            peer_port=self._peer_port,
            peer_url=self.peer_url,
            started_at=self._instance.started_at,
            zone=self._instance.zone,
            version=str(self.binary.version),
        )

    async def become(self, own: Identity) -> None:
        """Take on an identity: it is persisted first, then shown.

        Raises:
            CannotStart: It could not be persisted.
        """
        await self.change(lambda _: own)

    async def change(self, new: Callable[[Identity], Identity]) -> None:
        """Likewise, with an identity made of the present one; for those that work side by side.

        Raises:
            CannotStart: It could not be persisted.
        """
        async with self._changing:
            own = new(self.own)
            if own != self.own:
                await asyncio.to_thread(identity_file.save, self.directory, own)
                self.own = own

    def status(self, problem: str | None) -> PeerStatus:
        """What the others are told while no etcd runs here."""
        return status_of(
            self.own,
            self.copies.problem or problem,
            copy_held=self.copies.best(self.own),
            peer_url=self.peer_url,
        )

    async def heed_operator(self) -> None:
        """If an operator has vouched that those that do not answer are dead, remember it.

        Raises:
            CannotStart: The directory cannot be changed.
        """
        if is_requested(self.directory):
            self._logger.warning("an operator vouches that the instances that are silent are dead")
            await self.change(lambda own: own.model_copy(update={"presumed_dead": own.epoch + 1}))
            await asyncio.to_thread(drop_request, self.directory)

    async def decline_operator(self) -> None:
        """An operator's request is not for a cluster that has a quorum.

        Raises:
            CannotStart: The directory cannot be changed.
        """
        if is_requested(self.directory):
            self._logger.warning("a quorum answers; the request to recover is dropped")
            await asyncio.to_thread(drop_request, self.directory)

    async def start_over(self) -> None:
        """Set the data aside and become a new member. The best copy set aside so far is kept.

        Raises:
            CannotStart: The directory cannot be changed.
        """
        label = Label.of(self.own).model_dump_json()
        await asyncio.to_thread(self.directory.set_member_aside, label)
        await self.become(self.own.renewed(self.peer_url, identity_file.new_incarnation()))
        self.copies.forget()
        await self.copies.read()
        best = self.copies.best_set_aside()
        await asyncio.to_thread(self.directory.delete_set_asides, but=best)

    async def restore(self, source: str) -> None:
        """Make a new cluster's only member of the copy in the directory `source`.

        Raises:
            CannotStart: It failed; the copy is as it was.
        """
        if not self.directory.restored.exists():
            await rebuild(
                source=self.directory.path / source,
                target=self.directory.restored,
                work=self.directory.path / "restoring",
                name=self.own.member,
                peer_url=self.peer_url,
                # A new token for every founding, as in `etcd_command`.
                token=secrets.token_hex(16),
                binary=self.binary,
                tool=await find_restore_tool(self.binary),
                logger=self._logger,
            )
        # Persisted first: from now on the restored data is the data here, wherever it is.
        await self.become(restored(self.own, self.peer_url))
        await asyncio.to_thread(self.directory.adopt_restored)
        self.copies.forget()


@asynccontextmanager
async def workplace(
    settings: EtcdSettings,
    instance: Instance,
    tls: CredentialsKeeper | None,
    logger: logging.Logger,
) -> AsyncGenerator[Workplace, None]:
    """Check all that etcd needs of this machine, and hold it.

    Raises:
        CannotStart: Something is missing; the message says what.
    """
    binary = await inspect(
        search(settings.binary), allow_known_bad=settings.allow_known_bad_version
    )
    if binary.warning:
        logger.warning("etcd version", extra={"warning": binary.warning})
    if tls is not None:
        try:
            await tls.renew()
        except TlsUnusable as error:
            raise CannotStart(str(error)) from error
    listen = settings.listen_address or await _resolve(instance.address)
    directory = await asyncio.to_thread(DataDir.open, settings.data_dir)
    try:
        peer_port = instance.peer_port or settings.peer_port
        peer_url = member_url(settings.scheme, instance.address, peer_port)
        own = identity_file.load(directory, instance.id, peer_url)
        await asyncio.to_thread(_finish, directory, own)
        # Always: it proves that the directory can be written.
        await asyncio.to_thread(identity_file.save, directory, own)
        place = Workplace(
            settings,
            instance,
            listen=listen,
            binary=binary,
            directory=directory,
            own=own,
            logger=logger,
        )
        ensure_free(place.client_endpoint)
        yield place
    finally:
        directory.close()


def _finish(directory: DataDir, own: Identity) -> None:
    """Do what a crash may have left undone."""
    if own.stage is Stage.FOUNDING:
        directory.adopt_restored()
    elif own.stage is not Stage.RESTORING:
        directory.discard_restored()
    if directory.has_leftovers and not own.has_data:
        directory.set_member_aside()


async def _resolve(address: str) -> str:
    """The numeric address to listen on; etcd takes no names there."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(address, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise CannotStart(
            f"this instance's address {address!r} cannot be resolved ({error.strerror}). Set "
            "store.etcd.listen_address, or correct the address in the discovery settings"
        ) from error
    return str(found[0][4][0])
