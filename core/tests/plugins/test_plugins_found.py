"""Which plugins are found, put aside and chosen: all of it before anything is imported."""

import logging
import sys
from importlib.metadata import EntryPoint, metadata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formal_cluster.errors import ConfigError, PluginError
from formal_cluster.hookspecs import DiscoveryContext
from formal_cluster.plugins import Plugin, PluginManager, PluginStatus
from formal_cluster.plugins.selection import EXTRAS, pick, sifted
from formal_cluster.settings_file import load_settings, settings_from

CONTEXT = DiscoveryContext(None, logging.getLogger("test"))
UNIMPORTABLE = "raise AssertionError('imported')"


def manager(drivers=("acme",), **content):
    content.setdefault("discovery", {})["drivers"] = list(drivers)
    return PluginManager.from_settings(settings_from(content))


def records(plugins, name="acme", **options):
    return [record for record in plugins.inventory(**options) if record.name == name]


def test_a_plugin_that_is_not_chosen_is_listed_but_not_imported(distributions):
    module = distributions.install("acme-discovery", UNIMPORTABLE, version="2.3")
    (record,) = records(manager(["static"]))
    assert {
        "family": "discovery",
        "name": "acme",
        "status": "available",
        "distribution": "acme-discovery",
        "version": "2.3",
        "entry_point": module,
        "detail": "",
        "mend": "",
    } == record.to_json()
    assert module not in sys.modules


def test_a_chosen_plugin_is_listed_as_loaded(distributions):
    distributions.install("acme-discovery")
    assert [PluginStatus.LOADED] == [record.status for record in records(manager())]


def test_all_plugins_are_imported_when_asked_to(distributions):
    distributions.install("acme-discovery")
    (record,) = records(manager(["static"]), import_all=True)
    assert PluginStatus.LOADED == record.status


def test_cores_own_drivers_are_plugins_like_any_other():
    own = {(r.family, r.name) for r in manager().inventory() if r.distribution == "formal-cluster"}
    assert {("discovery", "static"), ("store", "memory"), ("counters", "log")} <= own


@pytest.mark.parametrize(
    ("version", "mend"), [(2, "upgrade formal-cluster"), (0, "upgrade acme-discovery")]
)
def test_a_plugin_for_another_api_version_is_incompatible_and_not_imported(
    distributions, version, mend
):
    distributions.install(
        "acme-discovery", UNIMPORTABLE, group=f"formal_cluster.discovery.v{version}"
    )
    plugins = manager()
    (record,) = records(plugins, import_all=True)
    assert (PluginStatus.INCOMPATIBLE, mend) == (record.status, record.mend)
    with pytest.raises(PluginError, match=f"acme-discovery 1.0 .* hook API v{version}.*{mend}"):
        plugins.create_discovery("acme", CONTEXT)


def test_a_plugin_that_serves_several_api_versions_is_compatible(distributions):
    module = distributions.install("acme-discovery")
    distributions.register(
        "acme-discovery",
        {f"formal_cluster.discovery.v{version}": {"acme": module} for version in (1, 2)},
    )
    usable = [r.status for r in records(manager()) if r.status is not PluginStatus.SHADOWED]
    assert [PluginStatus.LOADED] == usable


@pytest.mark.parametrize("group", ["formal_cluster.discovery", "formal_cluster.discvery.v1"])
def test_a_misspelt_group_is_pointed_out(distributions, group):
    distributions.install("acme-discovery", UNIMPORTABLE, group=group)
    (record,) = records(manager(["static"]))
    assert (
        PluginStatus.INCOMPATIBLE,
        f"there is no entry-point group {group}",
        "its author renames the group to formal_cluster.discovery.v1",
    ) == (record.status, record.detail, record.mend)


def test_entry_points_of_other_groups_are_no_plugins(distributions):
    distributions.install("acme-suite", group="formal_cluster.conformance.v1")
    assert [] == records(manager(["static"]))


def test_a_hidden_copy_of_a_distribution_is_listed_as_shadowed(distributions):
    distributions.install("acme-discovery", UNIMPORTABLE, version="1.0")
    distributions.install("acme-discovery", version="1.1")
    assert {("1.0", PluginStatus.SHADOWED), ("1.1", PluginStatus.LOADED)} == {
        (record.version, record.status) for record in records(manager())
    }


@pytest.mark.parametrize("entry", ["acme", "discovery:acme"])
def test_a_denied_plugin_is_never_imported(distributions, entry):
    module = distributions.install("acme-discovery", UNIMPORTABLE)
    plugins = manager(plugins={"deny": [entry]})
    assert [PluginStatus.DENIED] == [r.status for r in records(plugins, import_all=True)]
    with pytest.raises(PluginError, match=r"plugins\.deny names it"):
        plugins.create_discovery("acme", CONTEXT)
    assert module not in sys.modules


def test_a_denial_of_one_family_leaves_the_others_alone(distributions):
    distributions.install("acme-discovery")
    plugins = manager(plugins={"deny": ["store:acme"]})
    assert [PluginStatus.LOADED] == [record.status for record in records(plugins)]


def test_a_denial_that_nothing_answers_to_is_warned_of(caplog):
    plugins = manager(["static"], plugins={"deny": ["store:ectd"]})
    assert ["store:ectd"] == plugins.unknown_denials()
    assert ["store:ectd"] == [record.entry for record in caplog.records]


def test_two_distributions_with_one_name_clash_and_both_are_named(distributions):
    modules = [distributions.install(name, UNIMPORTABLE) for name in ("acme-one", "acme-two")]
    plugins = manager()
    assert {PluginStatus.CLASH} == {r.status for r in records(plugins, import_all=True)}
    with pytest.raises(PluginError, match=r"claim the name: acme-one 1\.0, acme-two 1\.0"):
        plugins.create_discovery("acme", CONTEXT)
    assert not any(module in sys.modules for module in modules)


def test_nobody_can_take_the_name_of_one_of_cores_drivers(distributions):
    distributions.install("acme-discovery", driver="static")
    with pytest.raises(PluginError, match=r"acme-discovery 1\.0, formal-cluster"):
        manager(["static"]).create_discovery("static", CONTEXT)


def test_a_clash_of_others_does_not_matter(distributions):
    distributions.install("acme-one", driver="other")
    distributions.install("acme-two", driver="other")
    distributions.install("acme-discovery")
    assert "default" == manager().create_discovery("acme", CONTEXT).zone


def test_an_unknown_driver_is_an_error_with_the_nearest_name(distributions):
    distributions.install("acme-discovery")
    with pytest.raises(PluginError, match=r"driver 'amce'; did you mean 'acme'\? available: acme,"):
        manager(["amce"]).create_discovery("amce", CONTEXT)


STORE = Plugin("store", "memory", "formal-cluster", "0.1", EntryPoint("memory", "m", "g"))


def test_a_driver_of_our_own_extras_comes_with_the_command_that_installs_it():
    with pytest.raises(PluginError, match=r"pip install 'formal-cluster\[etcd\]'"):
        pick([STORE], "store", "etcd")


def test_the_extras_that_are_recommended_exist():
    extras = set(metadata("formal-cluster").get_all("Provides-Extra"))
    assert {name for names in EXTRAS.values() for name in names} <= extras


# ── drivers' tables ──────────────────────────────────────────────────────────────────────────


def test_a_drivers_table_is_validated_with_its_own_class(distributions, tmp_path):
    distributions.install("acme-discovery")
    path = tmp_path / "c.toml"
    path.write_text('[discovery]\ndrivers = ["acme"]\n[discovery.acme]\nzoen = "a"\n')
    plugins = PluginManager.from_settings(load_settings(path, {}))
    with pytest.raises(ConfigError) as caught:
        plugins.create_discovery("acme", CONTEXT)
    assert f"{path}:4: discovery.acme.zoen: unknown key; did you mean discovery.acme.zone?" == str(
        caught.value
    )


def test_a_drivers_settings_reach_it(distributions):
    distributions.install("acme-discovery")
    plugins = manager(discovery={"acme": {"zone": "a"}})
    assert "a" == plugins.create_discovery("acme", CONTEXT).zone


def test_a_table_of_an_installed_driver_that_is_not_chosen_is_left_alone(distributions):
    module = distributions.install("acme-discovery", UNIMPORTABLE)
    manager(["static"], discovery={"acme": {"anything": 1}})
    assert module not in sys.modules


def test_a_table_of_a_driver_that_does_not_exist_is_an_error_with_the_nearest_name(distributions):
    distributions.install("acme-discovery")
    with pytest.raises(ConfigError, match=r"discovery\.amce: .*did you mean 'acme'\?"):
        manager(["static"], discovery={"amce": {}})


def test_a_table_for_a_chosen_driver_that_is_missing_waits_for_the_drivers_own_error():
    plugins = manager(["amce"], discovery={"amce": {}})
    with pytest.raises(PluginError, match="no plugin provides"):
        plugins.create_discovery("amce", CONTEXT)


# ── for every set of plugins ─────────────────────────────────────────────────────────────────

plugin_lists = st.lists(
    st.builds(
        Plugin,
        family=st.sampled_from(["discovery", "store"]),
        name=st.sampled_from(["a", "b"]),
        distribution=st.sampled_from(["one", "two", "three"]),
        version=st.just("1"),
        entry_point=st.just(EntryPoint("a", "m", "g")),
        status=st.sampled_from(
            [PluginStatus.AVAILABLE, PluginStatus.SHADOWED, PluginStatus.INCOMPATIBLE]
        ),
    )
)
denials = st.lists(st.sampled_from(["a", "b", "discovery:a", "store:b"]))


@given(plugin_lists, denials)
def test_whatever_is_installed_at_most_one_plugin_is_left_for_a_name_and_no_denied_one(
    plugins, deny
):
    left = [p for p in sifted(plugins, deny) if p.status is PluginStatus.AVAILABLE]
    assert len(left) == len({plugin.id for plugin in left})
    assert not {name for plugin in left for name in (plugin.name, plugin.id)} & set(deny)
