"""Who this instance is: kept, renewed, and never mistaken."""

from __future__ import annotations

import json

import pytest

from formal_cluster_store_etcd.member import identity_file
from formal_cluster_store_etcd.member.data_dir import DataDir
from formal_cluster_store_etcd.member.failures import CannotStart
from formal_cluster_store_etcd.planning.identity import Consent, Identity, Stage

URL = "http://10.0.0.1:2380"


@pytest.fixture
def directory(tmp_path):
    opened = DataDir.open(tmp_path / "data")
    yield opened
    opened.close()


def write_data(directory: DataDir) -> None:
    wal = directory.path / "member" / "wal"
    wal.mkdir(parents=True)
    (wal / "0.wal").touch()


def test_an_empty_directory_gets_a_new_incarnation_each_time(directory):
    first, second = (identity_file.load(directory, "a", URL) for _ in range(2))
    assert first.incarnation != second.incarnation
    assert f"a-{first.incarnation}" == first.member
    assert Stage.UNFORMED is first.stage


def test_what_was_saved_is_loaded(directory):
    own = Identity.fresh("a", URL, "00000001").model_copy(
        update={"consent": Consent(instance="b", incarnation="0"), "withdrawing": True}
    )
    identity_file.save(directory, own)
    assert own == identity_file.load(directory, "a", URL)
    assert ["formal-cluster.json", "formal-cluster.lock"] == sorted(
        path.name for path in directory.path.iterdir()
    )


def test_a_member_whose_data_is_gone_is_a_new_one_that_remembers(directory):
    own = (
        Identity.fresh("a", URL, "00000001")
        .in_cluster("abc")
        .model_copy(update={"consent": Consent(instance="b", incarnation="0")})
    )
    identity_file.save(directory, own)
    found = identity_file.load(directory, "a", URL)
    assert own.incarnation != found.incarnation
    assert (Stage.UNFORMED, "abc", own.consent) == (found.stage, found.cluster_id, found.consent)


def test_a_member_with_its_data_stays_who_it_is_even_at_a_new_address(directory):
    own = Identity.fresh("a", URL, "00000001").in_cluster("abc")
    identity_file.save(directory, own)
    write_data(directory)
    assert own == identity_file.load(directory, "a", "http://10.0.0.2:2380")


def test_a_founder_that_did_not_get_far_goes_on_founding(directory):
    own = Identity.fresh("a", URL, "00000001").model_copy(update={"stage": Stage.FOUNDING})
    identity_file.save(directory, own)
    assert own == identity_file.load(directory, "a", URL)


def test_a_volume_taken_over_by_a_new_instance_keeps_its_member(directory):
    own = Identity.fresh("pod-1", URL, "00000001").in_cluster("abc")
    identity_file.save(directory, own)
    write_data(directory)
    found = identity_file.load(directory, "pod-2", URL)
    assert ("pod-2", own.member) == (found.instance, found.member)


def test_data_of_unknown_origin_is_not_touched(directory):
    write_data(directory)
    with pytest.raises(CannotStart, match="holds etcd data but no"):
        identity_file.load(directory, "a", URL)


@pytest.mark.parametrize("text", ["", "{", "{}", json.dumps({"format": 2})])
def test_a_damaged_file_is_an_error_with_the_mend(directory, text):
    (directory.path / "formal-cluster.json").write_text(text)
    with pytest.raises(CannotStart, match="is damaged or of another version"):
        identity_file.load(directory, "a", URL)


def test_two_supervisors_cannot_share_a_directory(directory):
    with pytest.raises(CannotStart, match="in use by another instance"):
        DataDir.open(directory.path)
    directory.close()
    DataDir.open(directory.path).close()


def test_of_the_data_set_aside_the_newest_and_a_chosen_one_are_kept(directory):
    for number in range(4):
        write_data(directory)
        directory.set_member_aside(f"label {number}")
    directory.delete_set_asides(but="set-aside-2")
    assert {"set-aside-2": "label 1", "set-aside-4": "label 3"} == directory.set_asides()
    assert not directory.has_data


def test_leftovers_without_data_or_without_a_label_are_no_copies(directory):
    write_data(directory)
    directory.set_member_aside()
    (directory.path / "member" / "snap").mkdir(parents=True)
    assert directory.has_leftovers
    directory.set_member_aside("label")
    assert {} == directory.set_asides()


def test_restored_data_takes_the_place_of_the_members_once(directory):
    write_data(directory)
    (directory.restored / "wal").mkdir(parents=True)
    for _ in range(2):
        directory.adopt_restored()
        assert ["member", "set-aside-1"] == sorted(
            path.name for path in directory.path.iterdir() if path.is_dir()
        )
    assert not directory.has_data


def test_restored_data_that_was_lost_is_not_founded_anew(directory):
    own = Identity.fresh("a", URL, "00000001").model_copy(
        update={"stage": Stage.FOUNDING, "source": "member", "epoch": 2}
    )
    identity_file.save(directory, own)
    directory.restored.mkdir()
    assert own == identity_file.load(directory, "a", URL)
    directory.discard_restored()
    assert Stage.UNFORMED is identity_file.load(directory, "a", URL).stage
