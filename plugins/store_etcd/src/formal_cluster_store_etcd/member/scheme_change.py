"""Whether data may be gone on with after TLS was switched on or off.

The members' URLs stand in etcd's data and say http or https. Members that disagree cannot reach
each other, so going on would be silent for ever: better to say so.
"""

from __future__ import annotations

from pathlib import Path

from formal_cluster_store_etcd.member.failures import CannotStart
from formal_cluster_store_etcd.planning.identity import Identity
from formal_cluster_store_etcd.urls import Scheme


def refuse_other_scheme(own: Identity, scheme: Scheme, directory: Path) -> None:
    """Refuse data of a cluster whose members use the other scheme.

    Raises:
        CannotStart: They do.
    """
    if not own.has_data or own.peer_url.startswith(f"{scheme}://"):
        return
    switched = "on" if scheme == "https" else "off"
    raise CannotStart(
        f"TLS was switched {switched}, but the data in {directory} is of a cluster whose members "
        f"reach each other without that change ({own.peer_url}). Undo it; or switch as docs/tls.md "
        "says, all instances at once"
    )
