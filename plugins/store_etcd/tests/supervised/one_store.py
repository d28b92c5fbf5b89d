"""A program for tests: runs one store, prints its etcd's process id, and waits to be killed.

python one_store.py DATA_DIR ADDRESS CLIENT_PORT PEER_PORT
"""

import asyncio
import logging
import sys
from contextlib import aclosing

from formal_cluster.hookspecs import StoreContext
from formal_cluster.model import Instance, View
from formal_cluster_store_etcd.settings import EtcdSettings
from formal_cluster_store_etcd.store import EtcdStore


class Alone:
    def __init__(self, instance):
        self._view = View((instance,))

    async def discover(self):
        return self._view


async def main(data_dir, address, client_port, peer_port):
    instance = Instance(
        id="alone", address=address, client_port=int(client_port), peer_port=int(peer_port)
    )
    settings = EtcdSettings(data_dir=data_dir, genesis_stable_s=0)
    store = EtcdStore(settings, StoreContext(instance, Alone(instance), logging.getLogger("store")))
    await store.start()
    async with aclosing(store.watch(b"any")) as updates:
        await anext(updates)  # the first one comes when the store serves
    sys.stdout.write(f"{store._supervisor.runner.pid}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


asyncio.run(main(*sys.argv[1:]))
