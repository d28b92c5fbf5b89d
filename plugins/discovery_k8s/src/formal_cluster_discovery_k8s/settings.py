"""The settings of discovery driver `k8s`. On a standard deployment none of them is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from formal_cluster.hookspecs import DriverSettings


class K8sSettings(DriverSettings):
    """`[discovery.k8s]`"""

    namespace: str | None = Field(
        default=None, min_length=1, description="The pods' namespace. Default: this pod's own."
    )
    label_selector: str | None = Field(
        default=None,
        min_length=1,
        description="Labels of the pods that are the instances, e.g. app=connector; this pod has "
        "to have them too. Default: all pods of the Deployment, StatefulSet, … that this pod is "
        "of, found among all pods of the namespace.",
    )
    service: str | None = Field(
        default=None,
        min_length=1,
        description="Name of a headless Service: its EndpointSlices are read instead of pods. "
        "They need publishNotReadyAddresses, and tell less about instances that have gone.",
    )
    ip_family: Literal["ipv4", "ipv6"] | None = Field(
        default=None,
        description="The address to use where pods have one of each. Default: the family of this "
        "pod's primary address.",
    )
    kubeconfig: Path | None = Field(
        default=None,
        description="Credentials for use outside of a cluster. Default: the pod's service account.",
    )
    service_account: Path = Field(
        default=Path("/var/run/secrets/kubernetes.io/serviceaccount"),
        description="Directory with the service account's token, ca.crt and namespace.",
    )
    timeout: float = Field(
        default=10.0, gt=0, description="Seconds that reading the whole list may take."
    )
    watch_seconds: int = Field(
        default=300,
        ge=1,
        description="Seconds after which the server is asked to end a watch, give or take a fifth; "
        "a new one goes on where it ended.",
    )
    stalled_after: float = Field(
        default=90.0,
        gt=0,
        description="A watch that was silent for so many seconds is taken for broken. Servers "
        "send a sign of life about once a minute.",
    )
    gone_margin: float = Field(
        default=60.0,
        gt=0,
        description="A pod that vanished counts as stopped when its node has stayed Ready for its "
        "grace period and so many seconds. Must be more than the control plane takes to notice "
        "that a node is lost (by default 50 s).",
    )

    @model_validator(mode="after")
    def _check_source(self) -> K8sSettings:
        if self.label_selector is not None and self.service is not None:
            raise ValueError("set label_selector or service, not both: which one lists the pods?")
        return self
