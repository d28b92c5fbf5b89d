"""Version 1 of the plugin API, as it was promised: docs/plugin-api-versions.md.

What is written here is what plugins in use rely on. Lines may be added to it, never changed or
taken away, as long as there is version 1.
"""

from __future__ import annotations

import inspect

import pytest

from formal_cluster import errors, hookspecs, model, protocols
from formal_cluster.errors import PluginError
from formal_cluster.hookspecs import FAMILIES
from formal_cluster.plugins import PluginManager, PluginStatus
from formal_cluster.plugins.checks import missing_from_protocol
from formal_cluster.settings import Settings

HOOKS = {
    "discovery": {"discovery_settings": [], "create_discovery": ["settings", "context"]},
    "store": {"store_settings": [], "create_store": ["settings", "context"]},
    "counters": {"counters_settings": [], "create_counters": ["settings", "context"]},
    "enrichment": {"enrichment_settings": [], "create_enricher": ["settings", "context"]},
}
CONTEXTS = {
    "DiscoveryContext": ["instance_id", "logger"],
    "StoreContext": ["instance", "discovery", "logger"],
    "CountersContext": ["instance", "store", "prefix", "logger"],
    "EnrichmentContext": ["instance", "cluster", "logger"],
    "ClusterInfo": ["state", "stale_ms", "peers", "reachable"],
}
PROTOCOLS = {
    "Discovery": {"identify": "", "discover": "", "watch": "", "aclose": ""},
    "StateStore": {
        "capabilities": "",
        "start": "",
        "stop": "",
        "status": "",
        "get": "key",
        "list": "prefix",
        "put": "key value *if_revision=None *ttl=None",
        "delete": "key *if_revision=None",
        "watch": "prefix *from_revision=None",
    },
    "LeavingStore": {"leave": ""},
    "PresenceStore": {"present": ""},
    "JournalingStore": {"journal": ""},
    "Attempt": {"counts": "", "revision": "", "commit": "", "cancel": ""},
    "Counters": {
        "start": "",
        "stop": "",
        "status": "",
        "peek": "reads",
        "attempt": "reads",
        "hit": "read",
        "attempt_strict": "reads *deadline_s",
    },
    "ReservingCounters": {"spend": "reads", "attempt_reserved": "reads *deadline_s"},
    "ResettingCounters": {"reset_ms": "key window most"},
    "Enricher": {"enrich": "stage document"},
}
VALUES = {
    "Instance": ["id", "address"],
    "View": ["instances"],
    "Entry": ["key", "value", "revision"],
    "Listing": ["entries", "revision"],
    "Event": ["kind", "key", "value", "revision"],
    "WatchUpdate": ["events", "revision"],
    "Member": ["id", "address", "role"],
    "StoreStatus": ["state"],
}
NAMES = {
    "InstanceState": "running starting stopped unknown",
    "Capability": "linearizable-reads linearizable-writes compare-and-swap ttl watch watch-history "
    "list-at-one-revision survives-restart survives-minority-loss shared",
    "EventKind": "put delete",
    "StoreState": "starting serving read-only no-quorum failed stopped",
    "Role": "voter learner client",
    "Stage": "session pre_request post_request",
}
ERRORS = {
    "ConfigError": "FormalClusterError",
    "PluginError": "FormalClusterError",
    "DiscoveryError": "FormalClusterError",
    "DiscoveryUnavailable": "DiscoveryError",
    "StoreError": "FormalClusterError",
    "Conflict": "StoreError",
    "Compacted": "StoreError",
    "Unavailable": "StoreError",
    "OutcomeUnknown": "StoreError",
    "NotWritable": "StoreError",
    "CountersError": "FormalClusterError",
    "CountersUnavailable": "CountersError",
}


def test_the_version_is_1_and_every_group_says_so():
    assert 1 == hookspecs.API_VERSION
    assert {f"formal_cluster.{name}.v1" for name in HOOKS} <= {f.group for f in FAMILIES.values()}


@pytest.mark.parametrize("family", HOOKS)
def test_hooks_keep_their_names_and_arguments(family):
    promised, known = HOOKS[family], FAMILIES[family]
    assert set(promised) == {known.settings_hook, known.create_hook}
    for hook, arguments in promised.items():
        _self, *actual = inspect.signature(getattr(known.spec, hook)).parameters
        assert arguments == actual


@pytest.mark.parametrize(
    ("module", "name", "promised"),
    [
        *((hookspecs, name, fields) for name, fields in CONTEXTS.items()),
        *((model, name, fields) for name, fields in VALUES.items()),
    ],
)
def test_what_has_to_be_given_to_make_a_value_stays_and_all_else_has_a_default(
    module, name, promised
):
    parameters = inspect.signature(getattr(module, name)).parameters.values()
    required = [each.name for each in parameters if each.default is each.empty]
    assert promised == required
    assert promised == [each.name for each in parameters][: len(promised)]


@pytest.mark.parametrize("name", PROTOCOLS)
def test_protocols_keep_their_members_and_get_no_more(name):
    protocol = getattr(protocols, name)
    members = {k: v for k, v in vars(protocol).items() if not k.startswith("_")}
    assert PROTOCOLS[name] == {member: _arguments(value) for member, value in members.items()}


def _arguments(member: object) -> str:
    if not inspect.isfunction(member):
        return ""
    _self, *parameters = inspect.signature(member).parameters.values()
    return " ".join(
        ("*" if each.kind is each.KEYWORD_ONLY else "")
        + each.name
        + ("" if each.default is each.empty else f"={each.default}")
        for each in parameters
    )


@pytest.mark.parametrize("name", ["Discovery", "StateStore", "Counters", "Enricher"])
def test_a_driver_with_no_more_than_was_promised_is_complete(name):
    class Driver:
        pass

    for member in PROTOCOLS[name]:
        setattr(Driver, member, lambda self: None)
    assert [] == missing_from_protocol(Driver(), getattr(protocols, name))
    delattr(Driver, next(iter(PROTOCOLS[name])))
    assert [] != missing_from_protocol(Driver(), getattr(protocols, name))


@pytest.mark.parametrize("name", NAMES)
def test_names_keep_their_members_and_strings(name):
    assert set(NAMES[name].split()) <= {each.value for each in getattr(model, name)}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_keep_their_place_in_the_tree(name):
    assert issubclass(getattr(errors, name), getattr(errors, ERRORS[name]))


def test_a_new_error_is_caught_by_whoever_catches_the_old_ones():
    known = {"FormalClusterError", *ERRORS, "CacheError", "PolicyError", "InputError"}
    for name, error in vars(errors).items():
        if inspect.isclass(error) and name not in known:
            assert {base.__name__ for base in error.__mro__[1:]} & (known - {"FormalClusterError"})


@pytest.mark.parametrize(
    ("version", "mend"), [("v0", "upgrade acme-plugin"), ("v2", "upgrade formal-cluster")]
)
def test_a_plugin_of_another_version_is_refused_unimported_with_what_to_upgrade(
    distributions, version, mend
):
    group = f"formal_cluster.discovery.{version}"
    distributions.install("acme-plugin", "raise AssertionError('imported')", group=group)
    manager = PluginManager.from_settings(Settings())
    [plugin] = [p for p in manager.inventory(import_all=True) if p.name == "acme"]
    assert (PluginStatus.INCOMPATIBLE, mend) == (plugin.status, plugin.mend)
    told = f"it is made for hook API {version}; this core speaks v1"
    assert told == plugin.detail
    with pytest.raises(PluginError, match=told):
        manager.load("discovery", "acme")


def test_a_new_optional_method_is_asked_for_and_not_demanded():
    optional = {"LeavingStore", "PresenceStore", "JournalingStore"}
    for name in optional:
        protocol = getattr(protocols, name)
        [method] = PROTOCOLS[name]
        assert not isinstance(object(), protocol)
        assert isinstance(type("Driver", (), {method: lambda self: None})(), protocol)
