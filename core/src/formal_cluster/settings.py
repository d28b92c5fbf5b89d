"""Every setting of core, with its meaning and default. `settings_file` reads them.

Drivers bring their own tables (`[store.etcd]`, `[discovery.static]`, …); here those are kept as
they were read and are validated by `plugins` with the driver's class.
"""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from formal_cluster.model import STAGE_BY_NAME, Grade, OnDegraded, Stage

DriverTables = dict[str, dict[str, Any]]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _known_stage(name: str) -> str:
    if name not in STAGE_BY_NAME:
        raise ValueError(f"unknown stage {name!r}; one of {', '.join(sorted(STAGE_BY_NAME))}")
    return name


StageName = Annotated[str, AfterValidator(_known_stage)]


class _DriverSection(BaseModel):
    """A section whose sub-tables belong to drivers: `[store.etcd]` lands in `options["etcd"]`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    options: DriverTables = Field(
        default_factory=dict, json_schema_extra={"description": "Filled from the sub-tables."}
    )

    @model_validator(mode="before")
    @classmethod
    def _collect_driver_tables(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        own = {k: v for k, v in data.items() if k in cls.model_fields or not isinstance(v, dict)}
        tables = {k: v for k, v in data.items() if k not in own}
        return {**own, "options": tables} if tables else own


class InstanceSettings(_Section):
    """`[instance]`"""

    id: str | None = Field(
        default=None,
        min_length=1,
        description="This instance's id. Default: what the first discovery driver says; without "
        "discovery, the host name.",
    )


class DiscoverySettings(_DriverSection):
    """`[discovery]`"""

    drivers: tuple[str, ...] = Field(
        default=("static",),
        min_length=1,
        description="Discovery drivers, in order; their views are merged, the first one identifies "
        "this instance. A store that needs no discovery (etcd with endpoints) does without them "
        "when nothing is set here.",
    )


class StoreSettings(_DriverSection):
    """`[store]`"""

    driver: str = Field(default="etcd", description="The state store driver.")
    prefix: str = Field(
        default="/formal-cluster/",
        min_length=1,
        description="Prefix of every key written to the store. Instances that share it share "
        "their counters.",
    )


class CounterSettings(_Section):
    """`[[counter]]`: one declared counter, read by policies as `input.<entity>.<name>.<window>`."""

    name: str = Field(description="The counter's name in the policy, e.g. access_count.")
    entity: str = Field(
        default="*",
        description="The input field it hangs below, e.g. bucket; * means any field that a policy "
        "reads it from.",
    )
    subject: tuple[str, ...] = Field(
        default=("user", "entity"),
        min_length=1,
        description="Input paths that make up the subject. `user` is input.user.id, else "
        "username, else email; `entity` is the entity's id, else name, else the value itself.",
    )
    stages: tuple[StageName, ...] = Field(
        default=("pre_request",), description="Stages at which an access counts as a hit."
    )
    grade: Grade = Field(default=Grade.EVENTUAL, description="How it agrees with other instances.")
    block: int = Field(
        default=64,
        ge=1,
        le=4_096,
        description="Most hits of one subject that a reserved counter appends at once.",
    )
    count_denied: bool = Field(default=False, description="Whether denied attempts count too.")
    on_degraded: OnDegraded = Field(
        default=OnDegraded.LOCAL,
        description="What it does while the shared state cannot be reached. Default: local for an "
        "eventual counter, block for a strict or reserved one.",
    )

    @model_validator(mode="before")
    @classmethod
    def _shared_ones_block_by_default(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("grade") in {Grade.STRICT, Grade.RESERVED}:
            return {"on_degraded": OnDegraded.BLOCK, **data}
        return data

    def counts_at(self, stage: Stage) -> bool:
        """Whether an access at `stage` is a hit."""
        return any(STAGE_BY_NAME[name] is stage for name in self.stages)


DEFAULT_COUNTER = CounterSettings(name="access_count")


class CountersSettings(_DriverSection):
    """`[counters]`"""

    driver: str = Field(default="log", description="The counters driver.")
    max_stale_ms: int = Field(
        default=5_000,
        ge=100,
        description="Counters older than this are degraded: each counter's on_degraded applies.",
    )
    current_within_ms: int = Field(
        default=2_000,
        ge=10,
        description="Counts are taken as current, with .upper equal to the count, if the log was "
        "confirmed this lately. An idle store does so about once a second.",
    )
    strict_deadline_ms: int = Field(
        default=2_000, ge=10, description="How long a strict decision may wait for the log."
    )


class OnStoreAway(enum.StrEnum):
    """What a cache does while the store is away."""

    ERROR = "error"
    MISS = "miss"
    """Reads find nothing, writes store nothing; putting if absent is an error."""
    LOCAL = "local"
    """Go on with what is held; what is written is handed over when the store is back."""


class CacheSettings(_Section):
    """`[cache.<namespace>]`: one namespace of the cache that the instances share."""

    max_entries: int = Field(
        default=10_000,
        ge=1,
        le=1_000_000,
        description="Most entries kept. Beyond, those least recently written are evicted.",
    )
    max_bytes: int = Field(
        default=16 << 20,
        ge=1_024,
        le=1 << 30,
        description="Most bytes kept, of keys and values together. Every instance holds all of "
        "them in memory.",
    )
    max_value_bytes: int = Field(
        default=64 << 10, ge=1, le=1 << 20, description="Largest value; larger ones are refused."
    )
    ttl_seconds: float | None = Field(
        default=None,
        gt=0,
        description="Seconds after which an entry vanishes, at the soonest, if its writer does not "
        "say. Default: never.",
    )
    max_stale_ms: int = Field(
        default=5_000,
        ge=1_500,
        description="What is held is current if it was compared with the store at most this long "
        "ago; that happens about once a second. Otherwise the store is asked, or on_degraded "
        "applies.",
    )
    deadline_ms: int = Field(
        default=2_000, ge=10, description="How long a call may wait for the store."
    )
    on_degraded: OnStoreAway = Field(
        default=OnStoreAway.ERROR,
        description="What is done while the store is away: error; miss: reads find nothing and "
        "writes store nothing; local: go on with what this instance holds.",
    )
    http: bool = Field(
        default=False,
        description="Whether the HTTP API may read and write it at /v1/cache/<namespace>/<key>.",
    )


class PolicySettings(_Section):
    """`[policy]`"""

    paths: tuple[Path, ...] = Field(
        default=(), description="Rego files, and directories searched for *.rego, in this order."
    )
    on_error: Literal["block", "allow"] = Field(
        default="block", description="The decision when a policy fails while it is evaluated."
    )
    reload_seconds: float = Field(
        default=2.0, ge=0, description="How often the files are looked at for changes; 0: never."
    )


class EnrichmentSettings(_DriverSection):
    """`[enrichment]`"""

    drivers: tuple[str, ...] = Field(
        default=("cluster",), description="Enrichers of the policy input, in this order."
    )
    on_error: Literal["block", "skip"] = Field(
        default="block",
        description="The decision when an enricher fails: block, or go on without its fields.",
    )
    on_broken_plugin: Literal["fail", "skip"] = Field(
        default="fail", description="Whether an enricher that cannot be loaded stops start-up."
    )


class ServerSettings(_Section):
    """`[server]`: the HTTP API of `formal-cluster serve`."""

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8181, ge=0, le=65_535, description="Port; 0 picks a free one.")
    max_body_bytes: int = Field(default=1 << 20, ge=1_024, description="Largest request body.")
    max_depth: int = Field(default=64, ge=4, le=200, description="Deepest nesting of an input.")
    ratelimit: bool = Field(
        default=False,
        description="Whether every decision's answer says what is left of the limits it met, as "
        "with ?ratelimit: in the answer, and as RateLimit, RateLimit-Policy and Retry-After.",
    )
    ready_after_seconds: float = Field(
        default=30.0,
        ge=0,
        description="How long /ready waits for the cluster to form before serving alone.",
    )


class LogSettings(_Section):
    """`[log]`"""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe messages shown."
    )
    format: Literal["auto", "json", "text"] = Field(
        default="auto",
        description="json: one object a line; text: for people; auto: text on a "
        "terminal, else json.",
    )
    decisions: Path | None = Field(
        default=None, description="File that decisions are appended to as JSON lines; - is stdout."
    )


class PluginsSettings(_Section):
    """`[plugins]`"""

    deny: tuple[str, ...] = Field(
        default=(),
        description="Drivers that are never imported, as name or family:name, e.g. discovery:ecs.",
    )


class Settings(_Section):
    """The whole configuration."""

    instance: InstanceSettings = InstanceSettings()
    discovery: DiscoverySettings = DiscoverySettings()
    store: StoreSettings = StoreSettings()
    counters: CountersSettings = CountersSettings()
    counter: tuple[CounterSettings, ...] = Field(
        default=(DEFAULT_COUNTER,),
        description="Declared counters. A list of your own replaces the default access_count.",
    )
    cache: dict[str, CacheSettings] = Field(
        default_factory=dict, description="Namespaces of the shared cache, by their names."
    )
    policy: PolicySettings = PolicySettings()
    enrichment: EnrichmentSettings = EnrichmentSettings()
    server: ServerSettings = ServerSettings()
    log: LogSettings = LogSettings()
    plugins: PluginsSettings = PluginsSettings()
