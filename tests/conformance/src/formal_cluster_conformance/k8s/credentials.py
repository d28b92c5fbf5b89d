"""What a client needs to connect, as files: a kubeconfig, or a pod's mounted service account."""

from __future__ import annotations

import json
from pathlib import Path


def write_kubeconfig(
    path: Path, *, url: str, token: str, ca_file: Path | None, namespace: str | None
) -> Path:
    """A kubeconfig with one context. (It is JSON, and so YAML too.)"""
    cluster = {"server": url} | ({"certificate-authority": str(ca_file)} if ca_file else {})
    context = {"cluster": "it", "user": "me"} | ({"namespace": namespace} if namespace else {})
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "it", "cluster": cluster}],
        "users": [{"name": "me", "user": {"token": token}}],
        "contexts": [{"name": "it", "context": context}],
        "current-context": "it",
    }
    path.write_text(json.dumps(document, indent=2))
    return path


def write_service_account(directory: Path, *, token: str, ca_file: Path, namespace: str) -> Path:
    """The files that are mounted into a pod. Write `token` anew to rotate it."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "token").write_text(token)
    (directory / "ca.crt").write_bytes(ca_file.read_bytes())
    (directory / "namespace").write_text(namespace)
    return directory
