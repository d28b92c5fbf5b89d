"""The official client: only this module and `credentials` import it, and only when it is used.

Importing it takes about a second of one core, so that too happens in the worker threads of `api`,
not in the event loop. Everything here blocks, and may be called from several threads at once.

The client retries by itself, silently and up to three times, also what was refused with 429 or
503: a time-out of 2 s takes 8 s. That is switched off; `following` has a back-off of its own.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

from kubernetes.client import ApiClient, ApiException, CoreV1Api, DiscoveryV1Api
from urllib3 import HTTPResponse
from urllib3.exceptions import HTTPError

from formal_cluster.errors import DiscoveryError, DiscoveryUnavailable
from formal_cluster_discovery_k8s import credentials
from formal_cluster_discovery_k8s.interrupts import Interrupt
from formal_cluster_discovery_k8s.peers import Document
from formal_cluster_discovery_k8s.permissions import Permission
from formal_cluster_discovery_k8s.query import Query
from formal_cluster_discovery_k8s.refusals import NotAuthenticated, refusal
from formal_cluster_discovery_k8s.settings import K8sSettings

_LONGEST_CONNECT_S = 5.0
_READ_AT_ONCE = 1 << 16


class KubernetesClient:
    """The requests of this driver, one HTTP request each.

    Raises DiscoveryUnavailable (see `refusals` for its kinds), DiscoveryError for what can never
    succeed, and Interrupted.
    """

    def __init__(self, settings: K8sSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._client: ApiClient | None = None
        self._has_connected = False

    def namespace(self) -> str | None:
        """The namespace of the kubeconfig's current context."""
        return credentials.namespace_of(self._settings)

    def list_page(
        self, query: Query, limit: int | None, token: str | None, interrupt: Interrupt
    ) -> Document:
        """A page of a list that is at least as new as any change acknowledged before the call."""
        # Without a resourceVersion: with "0" the answer may come from a cache of any age.
        paging = {"limit": limit, "_continue": token}
        response = self._call(
            "list",
            query.permission,
            query.namespace,
            interrupt,
            read_timeout=self._settings.timeout,
            **query.selectors,
            **{name: value for name, value in paging.items() if value is not None},
        )
        return _document(response, interrupt)

    def read(
        self, permission: Permission, namespace: str | None, name: str, interrupt: Interrupt
    ) -> Document:
        """One object."""
        response = self._call(
            "get",
            permission,
            namespace,
            interrupt,
            read_timeout=self._settings.timeout,
            name=name,
        )
        return _document(response, interrupt)

    def watch(
        self,
        query: Query,
        version: str,
        seconds: int,
        deliver: Callable[[Document], None],
        interrupt: Interrupt,
    ) -> None:
        """Deliver each change after `version`; returns when the server ends the watch."""
        response = self._call(
            "watch",
            query.permission,
            query.namespace,
            interrupt,
            read_timeout=self._settings.stalled_after,
            watch=True,
            allow_watch_bookmarks=True,
            resource_version=version,
            timeout_seconds=seconds,
            **query.selectors,
        )
        try:
            with closing(response), interrupt.covers(response):
                for line in _lines(response):
                    deliver(_event(line, query))
        except (HTTPError, OSError, ValueError) as error:
            raise DiscoveryUnavailable(
                f"the watch of {query.permission.resource} broke off ({error}); it is resumed"
            ) from error

    def close(self) -> None:
        """Close connections that are not in use."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            _close_connections(client)

    def _call(
        self,
        verb: str,
        permission: Permission,
        namespace: str | None,
        interrupt: Interrupt,
        *,
        read_timeout: float,
        **arguments: Any,
    ) -> HTTPResponse:
        interrupt.check()
        client = self._connected()
        if namespace is not None:
            arguments["namespace"] = namespace
        try:
            response: HTTPResponse = _method(client, verb, permission)(
                **arguments,
                _preload_content=False,
                _request_timeout=(min(_LONGEST_CONNECT_S, read_timeout), read_timeout),
            )
        except ApiException as error:
            raise self._explained(error, client, verb, permission, namespace) from error
        except (HTTPError, OSError) as error:
            raise DiscoveryUnavailable(
                f"the Kubernetes API server at {client.configuration.host} does not answer "
                f"({error}); it is tried again"
            ) from error
        return response

    def _explained(
        self,
        error: ApiException,
        client: ApiClient,
        verb: str,
        permission: Permission,
        namespace: str | None,
    ) -> DiscoveryError:
        if not error.status:
            return DiscoveryUnavailable(
                f"no connection to the Kubernetes API server at {client.configuration.host}: "
                f"{error.reason}; it is tried again"
            )
        body: Any = error.body  # bytes in older versions of the client
        if isinstance(body, bytes):
            body = body.decode(errors="replace")
        explained = refusal(
            error.status,
            body or "",
            verb=verb,
            permission=permission,
            namespace=namespace,
            retry_after=(error.headers or {}).get("Retry-After"),
        )
        if isinstance(explained, NotAuthenticated):
            self._forget(client)
        return explained

    def _connected(self) -> ApiClient:
        with self._lock:
            if self._client is None:
                try:
                    configuration = credentials.load(self._settings)
                except DiscoveryError as error:
                    if self._has_connected:
                        # What worked once is being replaced at this moment.
                        raise DiscoveryUnavailable(str(error)) from error
                    raise
                self._client = ApiClient(configuration)
                self._has_connected = True
            return self._client

    def _forget(self, client: ApiClient) -> None:
        """Read the credentials again before the next request."""
        with self._lock:
            if self._client is not client:
                return
            self._client = None
        _close_connections(client)


def _close_connections(client: ApiClient) -> None:
    # The client's own `close` leaves this to the garbage collector.
    pools: Any = client.rest_client.pool_manager.pools
    keys = pools.keys()  # the container itself refuses to be iterated over
    for key in keys:
        pools[key].close()


def _method(client: ApiClient, verb: str, permission: Permission) -> Callable[..., HTTPResponse]:
    core, discovery = CoreV1Api(client), DiscoveryV1Api(client)
    methods: dict[tuple[str, str], Callable[..., Any]] = {
        ("get", "pods"): core.read_namespaced_pod,
        ("list", "pods"): core.list_namespaced_pod,
        ("watch", "pods"): core.list_namespaced_pod,
        ("list", "endpointslices"): discovery.list_namespaced_endpoint_slice,
        ("watch", "endpointslices"): discovery.list_namespaced_endpoint_slice,
        ("get", "nodes"): core.read_node,
    }
    return methods[verb, permission.resource]


def _document(response: HTTPResponse, interrupt: Interrupt) -> Document:
    try:
        with closing(response), interrupt.covers(response):
            document = _checked(json.loads(response.data))
    except (HTTPError, OSError, ValueError) as error:
        raise DiscoveryUnavailable(
            f"the Kubernetes API server's answer broke off ({error}); it is tried again"
        ) from error
    return document


def _lines(response: HTTPResponse) -> Iterator[bytes]:
    """The complete lines; what a broken connection leaves of the last one is no event."""
    rest = b""
    for chunk in response.stream(_READ_AT_ONCE):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from filter(None, lines)


def _event(line: bytes, query: Query) -> Document:
    event: Document = json.loads(line)
    if not isinstance(event, dict) or not isinstance(event.get("object"), dict):
        raise ValueError("a line of it is no event")  # noqa: TRY004  as for broken JSON
    if event.get("type") == "ERROR":
        status = event["object"]
        raise refusal(
            status.get("code", 500),
            json.dumps(status),
            verb="watch",
            permission=query.permission,
            namespace=query.namespace,
        )
    _checked(event["object"])
    return event


def _checked(document: Any) -> Document:
    """An object or a list. Something on the way, a proxy perhaps, may answer with other JSON.

    Raises:
        ValueError: It is none.
    """
    metadata = document.get("metadata") if isinstance(document, dict) else None
    if not isinstance(metadata, dict) or "resourceVersion" not in metadata:
        raise ValueError("it is no object of Kubernetes")
    checked: Document = document
    return checked
