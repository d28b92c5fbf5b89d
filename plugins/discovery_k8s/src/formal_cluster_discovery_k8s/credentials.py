"""How the official client gets to know the API server and who is asking."""

from __future__ import annotations

import os
from typing import Any

import kubernetes.config
from kubernetes.client import Configuration
from kubernetes.config.incluster_config import InClusterConfigLoader as _InClusterConfigLoader

from formal_cluster.errors import DiscoveryError
from formal_cluster_discovery_k8s.settings import K8sSettings

# Their functions have no annotations.
_config: Any = kubernetes.config
_loader: Any = _InClusterConfigLoader


def load(settings: K8sSettings) -> Configuration:
    """Read the credentials, as they are now.

    Raises:
        DiscoveryError: There are none that can be used.
    """
    configuration = Configuration()
    configuration.retries = False
    try:
        if settings.kubeconfig is not None:
            _config.load_kube_config(
                str(settings.kubeconfig), client_configuration=configuration, persist_config=False
            )
        else:
            # It reads the token again every minute: tokens are replaced while the pod runs.
            _loader(
                token_filename=str(settings.service_account / "token"),
                cert_filename=str(settings.service_account / "ca.crt"),
                environ=os.environ,
            ).load_and_set(configuration)
    except Exception as error:
        raise _unusable(settings, error) from error
    return configuration


def namespace_of(settings: K8sSettings) -> str | None:
    """The namespace of the kubeconfig's current context.

    Raises:
        DiscoveryError: The kubeconfig cannot be used.
    """
    if settings.kubeconfig is None:
        return None
    try:
        _, active = _config.list_kube_config_contexts(str(settings.kubeconfig))
        namespace: str | None = active["context"].get("namespace")
    except Exception as error:
        raise _unusable(settings, error) from error
    return namespace


def _unusable(settings: K8sSettings, error: Exception) -> DiscoveryError:
    if settings.kubeconfig is not None:
        return DiscoveryError(f"the kubeconfig {settings.kubeconfig} cannot be used: {error}")
    return DiscoveryError(
        f"this process has no access to Kubernetes: {error}. In a pod, give it a service account "
        "and automountServiceAccountToken: true; elsewhere set discovery.k8s.kubeconfig"
    )
