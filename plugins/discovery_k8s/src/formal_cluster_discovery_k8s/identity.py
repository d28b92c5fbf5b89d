"""Which pod is this process? Told by its surroundings: no request is made here.

A pod's manifest can put its name, namespace, UID and addresses into environment variables (the
"downward API"). Without them its host name is its name, unless it uses the node's network or sets
a host name, and its namespace is mounted beside the service account's token.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from formal_cluster.errors import DiscoveryError

SET_POD_NAME = (
    "set POD_NAME, POD_NAMESPACE, POD_UID and POD_IP in its environment, from metadata.name, "
    "metadata.namespace, metadata.uid and status.podIP"
)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What this process knows of its pod.

    Attributes:
        name: None outside of a pod.
        addresses: The primary one first. Known before the API server knows them.
    """

    name: str | None = None
    namespace: str | None = None
    uid: str | None = None
    addresses: tuple[str, ...] = ()


def look_around(
    environment: Mapping[str, str],
    service_account: Path,
    hostname: str,
    *,
    outside: bool,
) -> Surroundings:
    """What the environment variables, the mounted files and the host name tell.

    Args:
        outside: Credentials come from a kubeconfig, so the host name need not be a pod's.

    Raises:
        DiscoveryError: An address is none.
    """
    return Surroundings(
        name=environment.get("POD_NAME") or (None if outside else hostname),
        namespace=environment.get("POD_NAMESPACE") or _mounted_namespace(service_account),
        uid=environment.get("POD_UID") or None,
        addresses=_addresses(environment.get("POD_IPS") or environment.get("POD_IP") or ""),
    )


def settle_namespace(configured: str | None, own: str | None, of_context: str | None) -> str:
    """The namespace of the peers, this instance among them.

    Raises:
        DiscoveryError: There are two of them, or none.
    """
    if configured is not None and own is not None and configured != own:
        raise DiscoveryError(
            f"discovery.k8s.namespace is {configured} but this pod runs in {own}, and it has to "
            "be one of the instances; remove the setting"
        )
    namespace = configured or own or of_context
    if namespace is None:
        raise DiscoveryError(
            "which namespace are the pods in? Neither POD_NAMESPACE nor the service account nor "
            "the kubeconfig's context says; set discovery.k8s.namespace"
        )
    return namespace


def _addresses(text: str) -> tuple[str, ...]:
    addresses = tuple(part.strip() for part in text.split(",") if part.strip())
    for address in addresses:
        try:
            ipaddress.ip_address(address)
        except ValueError as error:
            raise DiscoveryError(
                f"POD_IP or POD_IPS is {text!r}: {error}. Set POD_IP from status.podIP, POD_IPS "
                "from status.podIPs"
            ) from error
    return addresses


def _mounted_namespace(service_account: Path) -> str | None:
    try:
        return (service_account / "namespace").read_text().strip() or None
    except FileNotFoundError:
        return None
