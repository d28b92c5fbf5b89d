"""A namespace in which things happen: what controllers, schedulers and nodes would do, on command.

Works on any API server, also a real one: everything is done through its API. Nothing runs. Pods are
bound to nodes that do not exist as machines, and their status is whatever was last said of them.
"""

from __future__ import annotations

import datetime
import ssl
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import aiohttp

from formal_cluster_conformance.k8s import documents
from formal_cluster_conformance.k8s.documents import Json
from formal_cluster_conformance.k8s.resources import SERVICE_ACCOUNTS, resource_of

_CONFLICTS = 10
_TOKEN_S = 3600


class ApiError(Exception):
    """The server refused.

    Attributes:
        code: The HTTP status.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class World:
    """One namespace, made and removed with all that was put into it. An async context manager.

    Args:
        headers: Those that authenticate somebody who may do everything.
    """

    def __init__(
        self,
        url: str,
        namespace: str,
        *,
        headers: Mapping[str, str],
        ssl_context: ssl.SSLContext | None,
    ) -> None:
        self.url = url
        self.namespace = namespace
        self._headers = headers
        self._ssl = ssl_context
        self._cluster_wide: list[Json] = []
        self._moments = 0

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            headers=self._headers, connector=aiohttp.TCPConnector(ssl=self._ssl or True)
        )
        try:
            await self.create(documents.named("Namespace", self.namespace))
            await self.create(documents.named("ServiceAccount", documents.SERVICE_ACCOUNT))
        except BaseException:
            await self._session.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        async with self._session:
            for document in reversed(self._cluster_wide):
                await self.delete(document)

    # ── any object ───────────────────────────────────────────────────────────────────────────

    async def create(self, document: Json) -> Json:
        """Make an object. One that is in no namespace is removed with this one."""
        resource = resource_of(document)
        made = await self._call("POST", resource.path(self.namespace), document)
        if not resource.namespaced:
            self._cluster_wide.append(made)
        return made

    async def get(self, document: Json) -> Json:
        """An object as it is now."""
        return await self._call("GET", self._path(document))

    async def change(self, document: Json, change: Callable[[Json], None]) -> Json:
        """Change an object, but for its status."""
        return await self._put(document, change, None)

    async def set_status(self, document: Json, status: Json) -> Json:
        """Replace an object's status."""
        return await self._put(document, lambda it: it.update(status=status), "status")

    async def delete(self, document: Json, grace_s: int | None = None) -> None:
        """Delete an object, as its owner would. It is no error if it is gone already."""
        options: Json = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if grace_s is not None:
            options["gracePeriodSeconds"] = grace_s
        try:
            await self._call("DELETE", self._path(document), options)
        except ApiError as error:
            if error.code != 404:
                raise

    # ── what nodes and controllers do ────────────────────────────────────────────────────────

    async def node(self, name: str, *, zone: str | None = None) -> Json:
        """A node that is Ready. Its name is put behind the namespace's, as nodes are in none."""
        document = documents.named("Node", f"{self.namespace}-{name}")
        document["spec"] = {"unschedulable": True}
        if zone is not None:
            document["metadata"]["labels"] = {"topology.kubernetes.io/zone": zone}
        return await self.set_ready(await self.create(document), ready=True)

    async def set_ready(self, node: Json, *, ready: bool) -> Json:
        """The control plane finds the node Ready, or has lost it."""
        return await self.set_status(node, documents.node_status(ready=ready, since=self._moment()))

    async def pod(self, name: str, **given: Any) -> Json:
        """A new pod, see `documents.pod`: Pending, without an address."""
        return await self.create(documents.pod(name, **given))

    async def run(self, pod: Json, *addresses: str, ready: bool = False) -> Json:
        """The pod's node has started its container."""
        status = documents.running(addresses, ready=ready, started=self._moment())
        return await self.set_status(pod, status)

    async def running_pod(self, name: str, *addresses: str, **given: Any) -> Json:
        """A new pod that runs."""
        return await self.run(await self.pod(name, **given), *addresses)

    async def finish(self, pod: Json, phase: str = "Failed") -> Json:
        """The pod's node reports that all of its containers have ended."""
        status = (await self.get(pod))["status"]
        return await self.set_status(pod, documents.terminated(status, phase, self._moment()))

    async def replace(self, pod: Json) -> None:
        """The pod is deleted, its node ends it, says so, and then removes it."""
        await self.delete(pod)
        await self.finish(pod, "Succeeded")
        await self.delete(pod, grace_s=0)

    async def vanish(self, pod: Json) -> None:
        """The pod is deleted by force: nobody says whether its containers still run."""
        await self.delete(pod, grace_s=0)

    async def publish(
        self, name: str, service: str, endpoints: Sequence[Json], **given: Any
    ) -> Json:
        """Write an EndpointSlice, see `documents.endpoint_slice`, over the one of that name."""
        document = documents.endpoint_slice(name, service, endpoints, **given)
        try:
            return await self.change(document, lambda it: it.update(endpoints=list(endpoints)))
        except ApiError as error:
            if error.code != 404:
                raise
        return await self.create(document)

    # ── who may do what ──────────────────────────────────────────────────────────────────────

    async def token(self, service_account: str = documents.SERVICE_ACCOUNT) -> str:
        """A token for a service account."""
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": [], "expirationSeconds": _TOKEN_S},
        }
        path = SERVICE_ACCOUNTS.path(self.namespace, service_account, "token")
        token: str = (await self._call("POST", path, request))["status"]["token"]
        return token

    async def grant(self, role: Json, to: str = documents.SERVICE_ACCOUNT) -> None:
        """Make a Role or ClusterRole, and bind it to a service account of the namespace."""
        if role["kind"] == "ClusterRole":
            name = f"{self.namespace}-{role['metadata']['name']}"
            role = {**role, "metadata": {"name": name}}
        made = await self.create(role)
        binding = documents.named(f"{made['kind']}Binding", made["metadata"]["name"])
        binding["apiVersion"] = made["apiVersion"]
        binding["subjects"] = [{"kind": "ServiceAccount", "name": to, "namespace": self.namespace}]
        binding["roleRef"] = {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": made["kind"],
            "name": made["metadata"]["name"],
        }
        await self.create(binding)

    async def may(self, verb: str, *, group: str, resource: str, everywhere: bool) -> bool:
        """Whether the service account of the pods has a permission. A real server takes a moment
        until a role that was bound has an effect."""
        attributes = {"verb": verb, "group": group, "resource": resource}
        if not everywhere:
            attributes["namespace"] = self.namespace
        review = documents.named("SubjectAccessReview", "", "authorization.k8s.io/v1")
        review["spec"] = {
            "user": f"system:serviceaccount:{self.namespace}:{documents.SERVICE_ACCOUNT}",
            "resourceAttributes": attributes,
        }
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        return bool((await self._call("POST", path, review))["status"]["allowed"])

    # ── requests ─────────────────────────────────────────────────────────────────────────────

    def _path(self, document: Json) -> str:
        return resource_of(document).path(self.namespace, document["metadata"]["name"])

    def _moment(self) -> str:
        """A time stamp that is none of those before, although they have whole seconds only."""
        self._moments += 1
        moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=self._moments)
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")

    async def _put(
        self, document: Json, change: Callable[[Json], None], subresource: str | None
    ) -> Json:
        path = self._path(document)
        for attempt in range(1, _CONFLICTS + 1):
            wanted = await self._call("GET", path)
            change(wanted)
            try:
                return await self._call("PUT", "/".join(filter(None, [path, subresource])), wanted)
            except ApiError as error:
                # On a real server others write too.
                if error.code != 409 or attempt == _CONFLICTS:
                    raise
        raise AssertionError

    async def _call(self, method: str, path: str, body: Json | None = None) -> Json:
        async with self._session.request(method, self.url + path, json=body) as response:
            answer: Json = await response.json()
        if response.status >= 400:
            raise ApiError(response.status, str(answer.get("message", answer)))
        return answer
