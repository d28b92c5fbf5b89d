"""formal-cluster: instances of one proxy discover each other and share rate limits."""

from formal_cluster.hookspecs import hookimpl

__all__ = ["hookimpl"]
