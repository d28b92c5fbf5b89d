"""Which etcd programs may be run."""

from __future__ import annotations

import pytest

from formal_cluster_store_etcd.member.binary import Version, check_version, inspect, search
from formal_cluster_store_etcd.member.failures import CannotStart


@pytest.mark.parametrize("version", [(3, 4, 36), (3, 4, 40), (3, 5, 24), (3, 6, 12), (3, 7, 0)])
def test_a_good_version_is_run_without_a_word(version):
    assert check_version(Version(*version), allow_known_bad=False) is None


@pytest.mark.parametrize(
    ("version", "fixed"),
    [((3, 4, 0), "3.4.36"), ((3, 4, 35), "3.4.36"), ((3, 5, 3), "3.5.24"), ((3, 6, 11), "3.6.12")],
)
def test_a_flawed_version_is_run_with_a_warning_that_names_the_fixed_one(version, fixed):
    assert fixed in check_version(Version(*version), allow_known_bad=False)


@pytest.mark.parametrize("patch", [0, 1, 2])
def test_a_version_that_corrupts_data_is_refused_unless_the_settings_allow_it(patch):
    version = Version(3, 5, patch)
    with pytest.raises(CannotStart, match="allow_known_bad_version = true"):
        check_version(version, allow_known_bad=False)
    assert "3.5.24" in check_version(version, allow_known_bad=True)


@pytest.mark.parametrize("version", [(2, 3, 8), (3, 3, 27)])
def test_a_version_without_learners_is_refused_even_then(version):
    with pytest.raises(CannotStart, match="too old"):
        check_version(Version(*version), allow_known_bad=True)


@pytest.mark.etcd
async def test_the_installed_etcd_tells_its_version_and_flags(etcd_binary):
    found = await inspect(search(None), allow_known_bad=True)
    assert found.path.is_absolute()
    assert {"name", "data-dir", "initial-cluster-token"} <= found.flags


def test_no_etcd_anywhere_is_said_with_where_it_was_looked_for(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(
        "formal_cluster_store_etcd.member.binary._USUAL_DIRECTORIES", (str(tmp_path),)
    )
    with pytest.raises(CannotStart, match="no etcd program on PATH"):
        search(None)


def test_a_file_that_may_not_be_run_is_not_taken_for_etcd(tmp_path):
    (tmp_path / "etcd").write_text("no program")
    with pytest.raises(CannotStart, match="not a program that may be run"):
        search(tmp_path / "etcd")
