"""`load_settings`: what it accepts, and the sentence it says for each thing it does not."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formal_cluster.errors import ConfigError
from formal_cluster.hookspecs import DriverSettings
from formal_cluster.model import Grade
from formal_cluster.settings import Settings
from formal_cluster.settings_file import load_settings, settings_from, sources_of
from formal_cluster.settings_file.check import validated


@pytest.fixture
def write(tmp_path):
    def write(text, name="cluster.toml"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def problems(path, environ=None):
    with pytest.raises(ConfigError) as caught:
        load_settings(path, environ or {})
    return str(caught.value).splitlines()


def test_without_file_and_environment_the_defaults_hold():
    assert Settings().model_dump() == load_settings(None, {}).model_dump()


def test_the_file_overrides_defaults_and_the_environment_overrides_the_file(write):
    path = write('[server]\nport = 1000\nhost = "::1"\n')
    settings = load_settings(path, {"FORMAL_CLUSTER_SERVER__PORT": "2000"})
    assert (2000, "::1") == (settings.server.port, settings.server.host)


def test_a_variable_names_the_file_when_no_path_is_given(write):
    path = write("[server]\nport = 1000\n")
    assert 1000 == load_settings(None, {"FORMAL_CLUSTER_CONFIG": str(path)}).server.port


def test_a_given_path_wins_over_the_variable(write):
    path = write("[server]\nport = 1000\n")
    other = {"FORMAL_CLUSTER_CONFIG": "/does/not/exist.toml"}
    assert 1000 == load_settings(path, other).server.port


def test_driver_tables_are_kept_as_they_were_read(write):
    path = write('[store]\ndriver = "etcd"\n[store.etcd]\ndata_dir = "/data"\nnested = {a = 1}\n')
    settings = load_settings(path, {"FORMAL_CLUSTER_STORE__ETCD__CLIENT_PORT": "2379"})
    assert {
        "etcd": {"data_dir": "/data", "nested": {"a": 1}, "client_port": 2379}
    } == settings.store.options


# ── the environment ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("text", ["123", "true", "1.5", "2026-01-02", "[1]", "a b", "/data"])
def test_a_string_setting_takes_any_text_even_if_it_looks_like_another_type(text):
    settings = load_settings(None, {"FORMAL_CLUSTER_INSTANCE__ID": text})
    assert text == settings.instance.id


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))
def test_every_text_either_becomes_the_setting_or_is_its_toml_string(text):
    actual = load_settings(None, {"FORMAL_CLUSTER_INSTANCE__ID": text}).instance.id
    assert actual == text or (text.strip()[0] in "\"'" and actual in text)


def test_arrays_and_tables_are_written_as_toml():
    settings = load_settings(
        None,
        {
            "FORMAL_CLUSTER_DISCOVERY__DRIVERS": '["dns", "static"]',
            "FORMAL_CLUSTER_COUNTER": '[{name = "reads", grade = "strict"}]',
        },
    )
    assert ("dns", "static") == settings.discovery.drivers
    assert [("reads", Grade.STRICT)] == [(c.name, c.grade) for c in settings.counter]


def test_a_value_cannot_smuggle_in_another_key():
    text = '"a"\nother = 1'
    assert text == load_settings(None, {"FORMAL_CLUSTER_INSTANCE__ID": text}).instance.id


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("FORMAL_CLUSTER_TEST_KUBECONFIG", "/kube"),
        ("FORMAL_CLUSTER_SERVICE_HOST", "10.0.0.1"),
        ("FORMAL_CLUSTER_SERVICE_PORT", "8181"),
        ("FORMAL_CLUSTER_SERVICE_PORT_HTTP", "8181"),
        ("FORMAL_CLUSTER_PORT", "tcp://10.0.0.1:8181"),
        ("FORMAL_CLUSTER_PORT_8181_TCP", "tcp://10.0.0.1:8181"),
        ("FORMAL_CLUSTER_PORT_8181_TCP_ADDR", "10.0.0.1"),
        ("FORMAL_CLUSTER_PEERS_PORT_2380_TCP_PROTO", "tcp"),
    ],
)
def test_variables_of_test_suites_and_of_kubernetes_services_are_not_settings(name, text):
    assert Settings().model_dump() == load_settings(None, {name: text}).model_dump()


def test_an_unknown_variable_is_an_error_with_the_nearest_one():
    assert [
        "FORMAL_CLUSTER_SERVER_PORT: no such setting; did you mean FORMAL_CLUSTER_SERVER__PORT?"
    ] == problems(None, {"FORMAL_CLUSTER_SERVER_PORT": "1"})


def test_an_unknown_key_in_a_variable_is_an_error_with_the_nearest_variable():
    assert [
        "FORMAL_CLUSTER_SERVER__PROT: unknown key; did you mean FORMAL_CLUSTER_SERVER__PORT?"
    ] == problems(None, {"FORMAL_CLUSTER_SERVER__PROT": "1"})


def test_a_wrong_value_in_a_variable_is_reported_by_the_variables_name():
    assert [
        "FORMAL_CLUSTER_SERVER__PORT: should be less than or equal to 65535, not 70000"
    ] == problems(None, {"FORMAL_CLUSTER_SERVER__PORT": "70000"})


def test_a_variable_that_fits_only_as_text_is_not_blamed_for_the_files_problem(write):
    path = write("[server]\nport = -1\n")
    assert [f"{path}:2: server.port: should be greater than or equal to 0, not -1"] == problems(
        path, {"FORMAL_CLUSTER_INSTANCE__ID": "123"}
    )


def test_a_variable_cannot_reach_into_an_array(write):
    path = write('[[counter]]\nname = "reads"\n')
    assert [
        (
            "FORMAL_CLUSTER_COUNTER__NAME: counter is not a table; set FORMAL_CLUSTER_COUNTER "
            "as a whole"
        )
    ] == problems(path, {"FORMAL_CLUSTER_COUNTER__NAME": "x"})


def test_a_variable_spells_a_drivers_hyphen_as_underscore():
    settings = load_settings(
        None,
        {
            "FORMAL_CLUSTER_STORE__DRIVER": "redis-test",
            "FORMAL_CLUSTER_STORE__REDIS_TEST__URL": "redis://h",
        },
    )
    assert {"redis-test": {"url": "redis://h"}} == settings.store.options


def test_a_variable_overrides_the_hyphenated_table_of_the_file(write):
    path = write('[store.redis-test]\nurl = "redis://a"\n')
    settings = load_settings(path, {"FORMAL_CLUSTER_STORE__REDIS_TEST__URL": "redis://b"})
    assert {"redis-test": {"url": "redis://b"}} == settings.store.options


# ── the file ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        ("[server]\nprot = 1", 2, "server.prot: unknown key; did you mean server.port?"),
        ("[sever]\nport = 1", 1, "sever: unknown key; did you mean server?"),
        ("port = 1", 1, "port: unknown key; did you mean server.port?"),
        (
            "x = 1",
            1,
            (
                "x: unknown key; known here: instance, discovery, store, counters, counter, cache, "
                "policy, enrichment, server, log, plugins"
            ),
        ),
        (
            '[store]\ndata_dir = "/data"',
            2,
            "store.data_dir: unknown key; a driver's settings are written below [store.<driver>]",
        ),
        (
            "[store.options]\na = 1",
            1,
            "store.options: unknown key; a driver's settings are written below [store.<driver>]",
        ),
        (
            '[server]\nport = "x"',
            2,
            (
                "server.port: should be a valid integer, unable to parse "
                'string as an integer, not "x"'
            ),
        ),
        ("server = 1", 1, "server: should be a table, not 1"),
        ('[policy]\npaths = "a.rego"', 2, 'policy.paths: should be an array, not "a.rego"'),
        ('[[counter]]\n\nentity = "bucket"', 1, "counter[0].name: is required and missing"),
        (
            '[[counter]]\nname = "a"\nstages = ["pre"]',
            3,
            (
                "counter[0].stages[0]: unknown stage "
                "'pre'; one of post_request, pre_request, request, response, session"
            ),
        ),
        (
            '[[counter]]\nname = "a"\n[[counter]]\nname = "b"\ngrade = "srict"',
            5,
            "counter[1].grade: should be 'eventual', 'reserved' or 'strict', not \"srict\"",
        ),
    ],
)
def test_a_problem_names_file_line_key_and_mend(write, text, line, sentence):
    path = write(text)
    assert [f"{path}:{line}: {sentence}"] == problems(path)


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        (
            '[[counter]]\nname = "a"\n[[counter]]\nname = "a"',
            3,
            "counter[1]: a of * is counter[0] already",
        ),
        (
            '[[counter]]\nname = "a b"',
            2,
            "counter[0].name: 'a b' cannot be a field of the policy's input",
        ),
        (
            '[[counter]]\nname = "a"\nentity = "x.y"',
            3,
            "counter[0].entity: 'x.y' is neither one field of the policy's input nor *",
        ),
        (
            '[[counter]]\nname = "a"\nsubject = ["user", "user"]',
            3,
            "counter[0].subject[1]: 'user' is in the subject already",
        ),
        (
            '[[counter]]\nname = "a"\nsubject = ["user..id"]',
            3,
            (
                "counter[0].subject[0]: 'user..id' is not a path in the policy's input such as "
                "user or user.id"
            ),
        ),
        (
            '[[counter]]\nname = "a"\nstages = []',
            3,
            "counter[0].stages: it would never count; name a stage or leave the key out",
        ),
        (
            '[discovery]\ndrivers = ["dns", "dns"]',
            2,
            "discovery.drivers: 'dns' is named more than once",
        ),
    ],
)
def test_a_contradiction_is_an_error(write, text, line, sentence):
    path = write(text)
    assert [f"{path}:{line}: {sentence}"] == problems(path)


def test_one_counter_name_may_be_declared_for_several_entities(write):
    path = write('[[counter]]\nname = "a"\n[[counter]]\nname = "a"\nentity = "bucket"\n')
    assert ["*", "bucket"] == [counter.entity for counter in load_settings(path, {}).counter]


def test_all_problems_are_reported_at_once(write):
    path = write("[server]\nprot = 1\n[log]\nlevel = 3\n")
    assert {
        "FORMAL_CLUSTER_NOPE",
        f"{path}:2",
        f"{path}:4",
    } == {line.split(": ")[0] for line in problems(path, {"FORMAL_CLUSTER_NOPE": "1"})}


def test_a_syntax_error_has_line_and_column(write):
    path = write("[server]\nport = = 1\n")
    assert [f"{path}:2:8: not valid TOML: Invalid value"] == problems(path)


def test_an_unfinished_file_is_reported_at_its_end(write):
    path = write('[server]\nhost = "a\n')
    (sentence,) = problems(path)
    assert sentence.startswith(f"{path}:2:")


def test_a_file_that_does_not_exist_is_named(tmp_path):
    (sentence,) = problems(tmp_path / "no.toml")
    assert sentence.startswith(f"{tmp_path / 'no.toml'}: there is no such settings file")


def test_a_directory_is_not_a_settings_file(tmp_path):
    assert [f"{tmp_path}: the settings file cannot be read: Is a directory"] == problems(tmp_path)


def test_a_file_in_another_encoding_is_named(tmp_path):
    path = tmp_path / "latin.toml"
    path.write_bytes('[instance]\nid = "ä"\n'.encode("latin-1"))
    (sentence,) = problems(path)
    assert sentence.startswith(f"{path}: the settings file is not UTF-8")


def test_a_file_nested_beyond_measure_is_an_error_not_a_crash(write):
    path = write("x = " + "[" * 100_000)
    (sentence,) = problems(path)
    assert sentence.startswith(str(path))


def test_a_byte_order_mark_does_no_harm(tmp_path):
    path = tmp_path / "bom.toml"
    path.write_text("[server]\nport = 1000\n", encoding="utf-8-sig")
    assert 1000 == load_settings(path, {}).server.port


# ── paths ────────────────────────────────────────────────────────────────────────────────────


def test_relative_paths_in_the_file_start_at_the_file(write, tmp_path):
    path = write('[policy]\npaths = ["p", "/abs"]\n[log]\ndecisions = "d.jsonl"\n')
    settings = load_settings(path, {})
    assert (tmp_path / "p", Path("/abs")) == settings.policy.paths
    assert tmp_path / "d.jsonl" == settings.log.decisions


def test_standard_output_is_not_a_relative_path(write):
    assert Path("-") == load_settings(write('[log]\ndecisions = "-"\n'), {}).log.decisions


def test_a_relative_path_in_a_variable_stays_relative_to_the_process(write):
    path = write('[policy]\npaths = ["p"]\n')
    settings = load_settings(path, {"FORMAL_CLUSTER_POLICY__PATHS": '["q"]'})
    assert (Path("q"),) == settings.policy.paths


def test_settings_can_come_from_a_mapping_that_stays_as_it_was():
    content = {"store": {"driver": "memory", "memory": {"a": 1}}}
    assert "memory" == settings_from(content).store.driver
    assert {"store": {"driver": "memory", "memory": {"a": 1}}} == content


def test_problems_of_a_mapping_name_the_key_alone():
    with pytest.raises(ConfigError, match=r"\Aserver\.prot: unknown key; did you mean"):
        settings_from({"server": {"prot": 1}})


# ── a driver's table, as `plugins` validates it ──────────────────────────────────────────────


class Tls(DriverSettings):
    cert: Path


class Driver(DriverSettings):
    data_dir: Path = Path("/data")
    zone: str = ""
    tls: Tls | None = None


def test_a_drivers_table_is_reported_and_anchored_like_cores_own(write, tmp_path):
    path = write('[store.etcd]\ndata_dri = "x"\n[store.etcd.tls]\ncert = 3\n')
    settings = load_settings(path, {})
    with pytest.raises(ConfigError) as caught:
        validated(Driver, settings.store.options["etcd"], ("store", "etcd"), sources_of(settings))
    assert [
        f"{path}:4: store.etcd.tls.cert: should be a string, the path of a file, not 3",
        f"{path}:2: store.etcd.data_dri: unknown key; did you mean store.etcd.data_dir?",
    ] == str(caught.value).splitlines()


def test_a_drivers_paths_and_variables_follow_the_same_rules(write, tmp_path):
    path = write('[store.etcd]\ndata_dir = "d"\ntls = {cert = "c.pem"}\n')
    settings = load_settings(path, {"FORMAL_CLUSTER_STORE__ETCD__ZONE": "1"})
    driver = validated(
        Driver, settings.store.options["etcd"], ("store", "etcd"), sources_of(settings)
    )
    assert Driver(data_dir=tmp_path / "d", zone="1", tls=Tls(cert=tmp_path / "c.pem")) == driver
