"""A Kubernetes API server for tests, and a world to put into it or into a real one.

    server        the server: HTTPS, tokens, RBAC, list and watch, on a free port
    world         a namespace with nodes, pods and EndpointSlices that live and die on command
    documents     objects of the API
    faults        what a test lets go wrong
    credentials   kubeconfigs and mounted service accounts

How a request is answered: `answers`, by way of `validation`, `rbac`, `selectors`, `store`, `lists`
and `watching`; refusals are `statuses`.
"""

from formal_cluster_conformance.k8s.server import ApiServer
from formal_cluster_conformance.k8s.world import World

__all__ = ["ApiServer", "World"]
