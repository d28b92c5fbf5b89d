"""`formal-cluster policy check` and `explain`."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from formal_cluster.cli.policy import policy

SEED = str(Path(__file__).parent / "data/policies/seed.rego")


def run(*arguments):
    result = CliRunner().invoke(policy, arguments, env={"FORMAL_CLUSTER_CONFIG": None})
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def misspelt(tmp_path):
    path = tmp_path / "p.rego"
    path.write_text(
        'package formal.v2\npre_request := {"action": "block"} if {\n'
        "  input.bucket.acess_count.last_minute > 5\n}\n"
    )
    return str(path)


def test_check_accepts_the_vendors_policy():
    assert (0, "ok: 1 policies, 0 libraries, 1 counters read\n", "") == run("check", SEED)
    code, out, _ = run("check", "--json", SEED)
    assert (0, {"ok": True, "policies": ["seed.rego"], "findings": []}) == (code, json.loads(out))


def test_check_shows_each_finding_at_its_place(misspelt):
    code, out, err = run("check", misspelt)

    assert (2, "") == (code, out)
    assert err.startswith(f"{misspelt}:3:16: there is no counter input.bucket.acess_count")
    assert "  3 |   input.bucket.acess_count.last_minute > 5\n    |                ^\n" in err


def test_check_tells_programs_each_finding(misspelt):
    code, out, _ = run("check", "--json", misspelt)

    document = json.loads(out)
    assert (2, False) == (code, document["ok"])
    (finding,) = document["findings"]
    assert (misspelt, 3, 16) == (finding["file"], finding["line"], finding["column"])


def test_check_names_a_path_that_does_not_exist(tmp_path):
    code, out, _ = run("check", "--json", str(tmp_path / "gone"))

    (finding,) = json.loads(out)["findings"]
    assert (2, str(tmp_path / "gone"), None) == (code, finding["file"], finding["line"])


def test_explain_shows_what_is_read_and_counted():
    code, out, _ = run("explain", SEED)

    assert 0 == code
    assert (
        "seed.rego defines pre_request and reads\n"
        "  input.bucket.access_count.last_minute\n"
        "  input.bucket.name\n"
        "counter input.bucket.access_count: last_minute\n"
        "  eventual, for each user and entity, counted at pre_request\n"
        "  compared: last_minute > 5\n"
        "  thresholds: last_minute 5\n"
        f"  read at {SEED}:7:29\n"
    ) == out


def test_explain_tells_programs_the_same():
    code, out, _ = run("explain", "--json", SEED)

    document = json.loads(out)
    assert 0 == code
    assert [
        {
            "name": "seed.rego",
            "rules": ["pre_request"],
            "reads": ["input.bucket.access_count.last_minute", "input.bucket.name"],
        }
    ] == document["policies"]
    assert [
        {
            "path": "input.bucket.access_count",
            "windows": ["last_minute"],
            "named_by_a_policy": True,
            "subject": ["user", "entity"],
            "grade": "eventual",
            "counted_at": ["pre_request"],
            "read_at": ["pre_request"],
            "bounds": [],
            "compared": ["last_minute > 5"],
            "thresholds": {"last_minute": [5]},
            "escapes": [],
            "locations": [f"{SEED}:7:29"],
        }
    ] == document["counters"]


def test_counters_come_from_the_settings(tmp_path):
    config = tmp_path / "connector.toml"
    config.write_text('[[counter]]\nname = "downloads"\nentity = "bucket"\ngrade = "strict"\n')
    file = tmp_path / "p.rego"
    file.write_text(
        'package formal.v2\npre_request := {"action": "block"} if {\n'
        "  input.bucket.downloads.last_hour > 5\n  json.marshal(input.bucket) != ``\n}\n"
    )

    assert 2 == run("check", str(file))[0]
    code, out, _ = run("explain", "--config", str(config), str(file))

    assert 0 == code
    assert "counter input.bucket.downloads: last_second, last_minute, last_hour, last_day\n" in out
    assert "  strict, for each user and entity, counted at pre_request\n" in out
