"""The rules of `hookspecs`: which plugins are refused, with which words, and whom it harms."""

import logging

import pytest

from formal_cluster.errors import DiscoveryError, PluginError
from formal_cluster.hookspecs import DiscoveryContext
from formal_cluster.plugins import PluginManager, PluginStatus
from formal_cluster.settings_file import settings_from

CONTEXT = DiscoveryContext(None, logging.getLogger("test"))
HEAD = """
from formal_cluster.errors import DiscoveryError
from formal_cluster.hookspecs import DriverSettings, hookimpl
"""
SETTINGS = """
@hookimpl
def discovery_settings():
    return DriverSettings
"""
CREATE = """
@hookimpl
def create_discovery(settings, context):
    return None
"""


def manager(*drivers):
    return PluginManager.from_settings(settings_from({"discovery": {"drivers": list(drivers)}}))


def refusal(distributions, source):
    """The words with which a plugin is refused."""
    distributions.install("acme-discovery", HEAD + source, version="1.2")
    with pytest.raises(PluginError) as caught:
        manager("acme").create_discovery("acme", CONTEXT)
    before, _, after = str(caught.value).partition(" cannot be used: ")
    assert "discovery driver 'acme' of acme-discovery 1.2" == before
    return after


BLAME = "; upgrade acme-discovery or report this to its authors"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (
            "import no_such_module",
            (
                "ModuleNotFoundError: No module named 'no_such_module'; reinstall "
                "it with what it needs: pip install --force-reinstall acme-discovery"
            ),
        ),
        (
            "from formal_cluster.hookspecs import gone",
            "ImportError: cannot import name 'gone' from 'formal_cluster.hookspecs'",
        ),
        ("1 / 0", "importing it raised ZeroDivisionError: division by zero" + BLAME),
        ("assert False, 'no'", "importing it raised AssertionError: no" + BLAME),
        ("raise SystemExit(3)", "importing it raised SystemExit: 3" + BLAME),
        ("def f(:", "importing it raised SyntaxError: invalid syntax"),
        ("", "it has no hook discovery_settings; it has no hook create_discovery" + BLAME),
        (SETTINGS, "it has no hook create_discovery" + BLAME),
        (
            SETTINGS + CREATE.replace("@hookimpl", ""),
            "create_discovery lacks the decorator @hookimpl" + BLAME,
        ),
        (
            SETTINGS + CREATE.replace("create_discovery", "create_discvery"),
            "there is no hook create_discvery; did you mean create_discovery?; it has no hook "
            "create_discovery" + BLAME,
        ),
        (
            SETTINGS + CREATE.replace("def", "async def"),
            "create_discovery is a coroutine function; "
            "make it a plain function that returns at once" + BLAME,
        ),
        (
            SETTINGS + CREATE.replace("return", "yield"),
            "create_discovery is a generator; "
            "make it a plain function that returns at once" + BLAME,
        ),
        (
            SETTINGS + CREATE.replace("def", "async def").replace("return", "yield"),
            "create_discovery is an async generator; make it a plain function",
        ),
        (SETTINGS.replace("def", "async def") + CREATE, "discovery_settings is a coroutine"),
        (
            SETTINGS + CREATE.replace("(settings, context)", "(settings)"),
            "create_discovery does not take the argument context" + BLAME,
        ),
        (
            SETTINGS + CREATE.replace("(settings, context)", "(config, context)"),
            "create_discovery does not take the argument settings; create_discovery takes config, "
            "which the hook does not have" + BLAME,
        ),
        (
            SETTINGS + CREATE.replace("(settings, context)", "(**everything)"),
            "create_discovery does not take the argument settings",
        ),
        (
            SETTINGS + CREATE.replace("context", "context=None"),
            "create_discovery gives context a default; then it would never be passed" + BLAME,
        ),
        (
            SETTINGS + CREATE.replace("(settings, context)", "(settings, *, context)"),
            "create_discovery must take context as a plain argument" + BLAME,
        ),
        (
            SETTINGS
            + CREATE.replace("@hookimpl", "@hookimpl(wrapper=True)").replace(
                "return None", "return (yield)"
            ),
            (
                "create_discovery is a generator; make it a plain function that returns at once; "
                "create_discovery is a wrapper"
            ),
        ),
        (
            SETTINGS.replace("DriverSettings", "dict") + CREATE,
            "discovery_settings returned <class "
            "'dict'>, which is no subclass of DriverSettings" + BLAME,
        ),
        (
            SETTINGS.replace("DriverSettings", "DriverSettings()") + CREATE,
            "discovery_settings "
            "returned DriverSettings(), which is no subclass of DriverSettings" + BLAME,
        ),
        (
            SETTINGS.replace("return DriverSettings", "raise KeyError(1)") + CREATE,
            "discovery_settings raised KeyError: 1" + BLAME,
        ),
        (
            SETTINGS.replace("return DriverSettings", "raise DiscoveryError('no')") + CREATE,
            "discovery_settings raised DiscoveryError: no" + BLAME,
        ),
    ],
)
def test_a_plugin_that_breaks_a_rule_is_refused_with_the_reason(distributions, source, words):
    actual = refusal(distributions, source)
    assert words == actual[: len(words)]


DRIVER = """
class Driver:
    async def identify(self): ...
    async def discover(self): ...
    def watch(self): ...
    async def aclose(self): ...
"""


@pytest.mark.parametrize(
    ("driver", "returned", "words"),
    [
        (
            DRIVER,
            "None",
            "create_discovery returned None, which is no Discovery: identify is "
            "missing; discover is missing; watch is missing; aclose is missing" + BLAME,
        ),
        (DRIVER, "Driver", "it is the class Driver, not an instance of it" + BLAME),
        (DRIVER.replace("aclose", "close"), "Driver()", "aclose is missing" + BLAME),
        (
            DRIVER.replace("def watch", "async def watch"),
            "Driver()",
            "watch must not be a coroutine function" + BLAME,
        ),
        (
            DRIVER.replace("def watch(self): ...", "watch = 1"),
            "Driver()",
            "watch is not a method" + BLAME,
        ),
        (
            DRIVER,
            "Driver().identify()",
            "create_discovery returned an awaitable; it must return the result itself" + BLAME,
        ),
        (DRIVER, "1 / 0", "create_discovery raised ZeroDivisionError: division by zero" + BLAME),
    ],
)
def test_what_a_plugin_builds_must_be_a_driver(distributions, driver, returned, words):
    source = SETTINGS + driver + CREATE.replace("return None", f"return {returned}")
    actual = refusal(distributions, source)
    assert words == actual[-len(words) :]


def test_a_settings_class_that_fails_is_the_plugins_fault(distributions):
    settings = """
from pydantic import field_validator

class Settings(DriverSettings):
    zone: str = "a"

    @field_validator("zone")
    @classmethod
    def check(cls, value):
        raise KeyError(value)
"""
    source = settings + SETTINGS.replace("return DriverSettings", "return Settings") + CREATE
    distributions.install("acme-discovery", HEAD + source)
    plugins = PluginManager.from_settings(
        settings_from({"discovery": {"drivers": ["acme"], "acme": {"zone": "b"}}})
    )
    with pytest.raises(PluginError, match=r"acme-discovery 1\.0 .* Settings raised KeyError: 'b'"):
        plugins.create_discovery("acme", CONTEXT)


def test_a_plugin_that_cannot_be_hashed_is_refused_because_pluggy_could_not_keep_it(distributions):
    source = """
class Plugin:
    __hash__ = None
"""
    module = distributions.install("acme-module", HEAD + source, driver="module")
    distributions.register(
        "acme-class", {"formal_cluster.discovery.v1": {"acme": f"{module}:Plugin"}}
    )
    with pytest.raises(PluginError, match="Plugin is not hashable"):
        manager("acme").create_discovery("acme", CONTEXT)


def test_the_frameworks_own_errors_come_through_as_the_plugin_raised_them(distributions):
    raising = CREATE.replace("return None", "raise DiscoveryError('not on this platform')")
    distributions.install("acme-discovery", HEAD + SETTINGS + raising)
    with pytest.raises(DiscoveryError, match=r"\Anot on this platform\Z"):
        manager("acme").create_discovery("acme", CONTEXT)


def test_a_broken_plugin_is_listed_with_reason_and_mend_and_harms_no_other(distributions):
    distributions.install("broken-discovery", "1 / 0", driver="broken")
    distributions.install("acme-discovery")
    plugins = manager("broken", "acme")
    assert "default" == plugins.create_discovery("acme", CONTEXT).zone
    (broken,) = [record for record in plugins.inventory() if record.name == "broken"]
    assert (
        PluginStatus.FAILED,
        "importing it raised ZeroDivisionError: division by zero",
        "upgrade broken-discovery or report this to its authors",
    ) == (broken.status, broken.detail, broken.mend)


def test_a_broken_plugin_that_is_not_chosen_does_not_matter(distributions):
    distributions.install("broken-discovery", "1 / 0", driver="broken")
    distributions.install("acme-discovery")
    plugins = manager("acme")
    assert "default" == plugins.create_discovery("acme", CONTEXT).zone
    (broken,) = [record for record in plugins.inventory() if record.name == "broken"]
    assert PluginStatus.AVAILABLE == broken.status


def test_a_driver_that_counts_as_false_is_still_the_driver(distributions):
    distributions.install("acme-discovery")
    driver = manager("acme").create_discovery("acme", CONTEXT)
    assert (0, "Driver") == (len(driver), type(driver).__name__)


def test_a_plugin_may_be_a_class(distributions):
    source = (
        HEAD
        + DRIVER
        + """
class Plugin:
    @staticmethod
    @hookimpl
    def discovery_settings():
        return DriverSettings

    @hookimpl
    def create_discovery(self, settings, context):
        return Driver()
"""
    )
    module = distributions.install("acme-module", source, driver="module")
    distributions.register(
        "acme-class", {"formal_cluster.discovery.v1": {"acme": f"{module}:Plugin"}}
    )
    driver = manager("acme").create_discovery("acme", CONTEXT)
    assert "Driver" == type(driver).__name__


def test_each_hook_is_called_on_the_chosen_plugin_alone(distributions):
    for name in ("one", "two", "three"):
        source = SETTINGS + DRIVER + CREATE.replace("return None", "return Driver()")
        distributions.install(
            f"acme-{name}", f"{HEAD}{source}\nDriver.name = {name!r}", driver=name
        )
    plugins = manager("one", "two", "three")
    created = [plugins.create_discovery(name, CONTEXT).name for name in ("two", "three", "one")]
    assert ["two", "three", "one"] == created


def test_one_module_may_serve_two_families_and_two_names(distributions, request):
    enricher = """
class Enricher:
    def enrich(self, stage, document):
        return {}

@hookimpl
def enrichment_settings():
    return DriverSettings

@hookimpl
def create_enricher(settings, context):
    return Enricher()
"""
    source = SETTINGS + DRIVER + CREATE.replace("return None", "return Driver()") + enricher
    module = distributions.install("acme-both", HEAD + source)
    distributions.register(
        "acme-more",
        {
            "formal_cluster.enrichment.v1": {"acme": module},
            "formal_cluster.discovery.v1": {"alias": module},
        },
    )
    plugins = manager("acme", "alias")
    built = [
        plugins.create_discovery("acme", CONTEXT),
        plugins.create_discovery("alias", CONTEXT),
        plugins.create_enricher("acme", None),
    ]
    assert ["Driver", "Driver", "Enricher"] == [type(driver).__name__ for driver in built]


def test_a_hook_may_have_another_name_in_the_plugin(distributions):
    create = CREATE.replace("@hookimpl", "@hookimpl(specname='create_discovery')")
    create = create.replace("def create_discovery", "def build").replace("None", "Driver()")
    distributions.install("acme-discovery", HEAD + SETTINGS + DRIVER + create)
    assert "Driver" == type(manager("acme").create_discovery("acme", CONTEXT)).__name__
