"""`formal-cluster doctor`: every kind of finding, its level and its mend."""

import json
import os
import sys

import pytest

from formal_cluster.cli.doctor import Level, python_version, regorus

SETTINGS = """
[discovery]
drivers = ["acme"]
[store]
driver = "acme"
[counters]
driver = "acme"
[enrichment]
drivers = ["acme"]
on_broken_plugin = "skip"
"""


@pytest.fixture
def findings(formal_cluster, tmp_path):
    """Runs the doctor over settings; its exit code and {level: [finding, …]}."""

    def findings(extra=""):
        path = tmp_path / "cluster.toml"
        path.write_text(SETTINGS + extra)
        shown = formal_cluster("doctor", "--json", "--config", str(path))
        by_level = {level: [] for level in ("ok", "warn", "fail")}
        for finding in json.loads(shown.stdout):
            by_level[finding["level"]].append((finding["what"], finding["mend"]))
        return shown.returncode, by_level

    return findings


@pytest.fixture
def acme(distributions):
    for family in ("discovery", "store", "counters", "enrichment"):
        distributions.install(f"acme-{family}", family=family)


def test_a_sound_installation_has_nothing_but_good_findings(findings, acme):
    code, found = findings()
    assert (0, [], []) == (code, found["warn"], found["fail"])
    assert ("store driver 'acme' of acme-store 1.0 loads; its settings are valid", "") in found[
        "ok"
    ]


def test_every_chosen_driver_that_cannot_be_had_is_a_failure(findings, distributions):
    distributions.install("acme-discovery", "import no_such_module")
    distributions.install("acme-store-one", family="store")
    distributions.install("acme-store-two", family="store")
    code, found = findings()
    assert 1 == code
    assert [
        (
            (
                "discovery driver 'acme' of acme-discovery 1.0 cannot be used: "
                "ModuleNotFoundError: No module named 'no_such_module'"
            ),
            "reinstall it with what it needs: pip install --force-reinstall acme-discovery",
        ),
        (
            (
                "store driver 'acme' of acme-store-one 1.0 cannot be used: several distributions "
                "claim the name: acme-store-one 1.0, acme-store-two 1.0"
            ),
            "uninstall all but one of them",
        ),
        ("no plugin provides the counters driver 'acme'", "available: log"),
    ] == found["fail"]


def test_an_enricher_that_may_be_skipped_is_only_a_warning(findings, distributions):
    for family in ("discovery", "store", "counters"):
        distributions.install(f"acme-{family}", family=family)
    code, found = findings()
    assert (0, []) == (code, found["fail"])
    assert "no plugin provides the enrichment driver 'acme'" in dict(found["warn"])


def test_wrong_driver_settings_are_a_failure(findings, acme, tmp_path):
    code, found = findings('[discovery.acme]\nzoen = "a"\n')
    sentence = "discovery.acme.zoen: unknown key; did you mean discovery.acme.zone?"
    assert (1, [f"{tmp_path / 'cluster.toml'}:12: {sentence}"]) == (code, list(dict(found["fail"])))


def test_a_table_of_a_driver_that_is_not_there_is_a_failure(findings, acme):
    code, found = findings("[store.acne]\n")
    ((what, _),) = found["fail"]
    assert (1, True) == (code, "'acne' is neither chosen nor an installed driver" in what)


def test_plugins_that_are_put_aside_are_warned_of_even_if_not_chosen(findings, acme, distributions):
    distributions.install("acme-old", "1 / 0", driver="old", group="formal_cluster.store.v0")
    distributions.install("acme-one", "1 / 0", driver="twice")
    distributions.install("acme-two", "1 / 0", driver="twice")
    distributions.install("acme-denied", "1 / 0", driver="denied")
    code, found = findings('[plugins]\ndeny = ["denied", "dneied"]\n')
    warned = {what.partition(" of ")[0] for what, _ in found["warn"]}
    assert 0 == code
    assert {
        "store driver 'old'",
        "discovery driver 'twice'",
        "plugins.deny: nothing installed answers to 'dneied'",
    } == warned
    assert "discovery driver 'denied' of acme-denied 1.0: plugins.deny names it" in dict(
        found["ok"]
    )


def test_a_hidden_copy_of_a_chosen_plugin_is_warned_of(findings, acme, distributions):
    distributions.install("acme-store", family="store", version="0.9")
    code, found = findings()
    assert (0, ["store driver 'acme' of acme-store 1.0: the copy in"]) == (
        code,
        [what.partition(" /")[0] for what, _ in found["warn"]],
    )


def test_wrong_settings_are_a_failure_each_and_end_the_examination(findings):
    code, found = findings("[sever]\n[polcy]\n")
    assert (1, 2) == (code, len(found["fail"]))
    assert [("plugins were not examined", "mend the settings first")] == found["warn"]


@pytest.mark.skipif(
    sys.executable.startswith("/tmp"),  # where stevedore itself draws the line
    reason="stevedore keeps no cache for an interpreter below /tmp",
)
def test_a_stale_cache_of_stevedore_is_warned_of(findings, acme, distributions):
    findings()
    (directory,) = distributions.directories[:1]
    (metadata,) = directory.glob("*/entry_points.txt")
    before = metadata.stat()
    metadata.write_text(metadata.read_text().replace("acme", "acme2"))
    os.utime(metadata, ns=(before.st_atime_ns, before.st_mtime_ns))
    _code, found = findings()
    assert [what for what, _ in found["warn"] if "stevedore's cache" in what]


def test_the_findings_are_shown_to_people_with_their_mend(formal_cluster):
    shown = formal_cluster("doctor", FORMAL_CLUSTER_STORE__DRIVER="ectd")
    assert 1 == shown.returncode
    assert "fail no plugin provides the store driver 'ectd'\n      → did you mean" in shown.stdout


@pytest.mark.parametrize(
    ("version", "level"), [((3, 11), Level.OK), ((3, 13), Level.OK), ((3, 99), Level.WARN)]
)
def test_a_python_that_nobody_tested_is_warned_of(version, level):
    assert level is python_version(version).level


@pytest.mark.parametrize(
    ("providers", "level", "mend"),
    [
        (["gordon-to-regorus"], Level.OK, ""),
        ([], Level.FAIL, "pip install --force-reinstall gordon-to-regorus"),
        (
            ["gordon-to-regorus", "celine-regorus"],
            Level.FAIL,
            "pip uninstall celine-regorus, then pip install --force-reinstall gordon-to-regorus",
        ),
    ],
)
def test_only_one_distribution_may_provide_the_policy_engine(providers, level, mend):
    finding = regorus(providers)
    assert (level, mend) == (finding.level, finding.mend)
