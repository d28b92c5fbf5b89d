"""What instances of different releases read of each other, and that the upgrading page says it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from formal_cluster.counters import records, snapshot
from formal_cluster.model import Entry
from formal_cluster_store_etcd.peers.lineage import parse_lineage
from formal_cluster_store_etcd.planning import presence
from formal_cluster_store_etcd.planning.identity import Identity
from formal_cluster_store_etcd.planning.lineage import Lineage
from formal_cluster_store_etcd.planning.peer_status import PeerStatus
from formal_cluster_store_etcd.planning.presence import Presence

PAGE = Path(__file__).parent.parent / "docs" / "upgrading.md"
PRESENCE = Presence(
    instance="a",
    incarnation="1",
    member="m",
    address="10.0.0.1",
    client_port=2379,
    peer_port=2380,
    peer_url="http://10.0.0.1:2380",
    version="3.5.21",
)
DOCUMENTS = [
    PRESENCE,
    PeerStatus(instance="a", incarnation="1", has_data=False),
    Lineage(epoch=1, cluster_id="c", founded_at=0.0, founder="a"),
    Identity.fresh("a", "http://10.0.0.1:2380", "1"),
]


def of_a_newer_release(document: BaseModel, **changes: object) -> bytes:
    return json.dumps({**json.loads(document.model_dump_json()), **changes}).encode()


each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: type(d).__name__)


@each_document
def test_a_field_that_a_newer_release_has_added_is_ignored_but_in_the_identity(document):
    newer = of_a_newer_release(document, mood="good")
    if isinstance(document, Identity):  # it is written anew, and what was ignored would be lost
        with pytest.raises(ValidationError):
            Identity.model_validate_json(newer)
    else:
        assert document == type(document).model_validate_json(newer)


@each_document
def test_a_newer_format_is_not_taken_for_the_present_one(document):
    newer = of_a_newer_release(document, format=document.format + 1)
    with pytest.raises(ValidationError):
        type(document).model_validate_json(newer)


def test_an_instance_whose_presence_is_of_a_newer_format_is_left_out_and_the_others_are_not():
    entries = [
        Entry(b"b", of_a_newer_release(PRESENCE, instance="b", format=2), 1),
        Entry(b"a", of_a_newer_release(PRESENCE), 2),
    ]
    assert (PRESENCE,) == presence.read(entries)


def test_a_lineage_of_a_newer_format_is_not_known():
    [lineage] = [document for document in DOCUMENTS if isinstance(document, Lineage)]
    assert lineage == parse_lineage(of_a_newer_release(lineage))
    assert parse_lineage(of_a_newer_release(lineage, format=2)) is None


def test_the_upgrading_page_names_the_formats_of_this_release():
    row = re.compile(r"^\| ([^|:]+?)(?:: [^|]+)? \| [^|]+ \| (\d+)\b[^|]* \|", re.MULTILINE)
    told = row.findall(PAGE.read_text())
    formats = {type(document).__name__: str(document.format) for document in DOCUMENTS}
    assert {
        "the counters' log": str(records.VERSION),
        "snapshots of the counters": str(snapshot.VERSION),
        "presence": formats["Presence"],
        "lineage": formats["Lineage"],
        "status documents": formats["PeerStatus"],
        "an instance's identity": formats["Identity"],
    } == dict(told)
