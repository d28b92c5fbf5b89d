"""Every error the framework raises, as one tree.

    FormalClusterError
    ├── ConfigError              settings: a key, a value or a file is wrong; fatal at start-up
    ├── PluginError              a plugin cannot be found, loaded or registered
    ├── DiscoveryError
    │   └── DiscoveryUnavailable the platform did not answer: *unknown*, never "nobody there"
    ├── StoreError
    │   ├── Conflict             the key is not at the expected revision; nothing was changed
    │   ├── Compacted            the wanted history is gone; list again and watch from there
    │   ├── Unavailable          the store did not act; certainly not applied, safe to retry
    │   ├── OutcomeUnknown       the store may or may not have applied the change
    │   └── NotWritable          the store refuses writes until an operator acts (quota, alarm)
    ├── CountersError
    │   └── CountersUnavailable  a strict attempt cannot be decided; `on_degraded` applies
    ├── CacheError
    │   ├── CacheUnavailable     the store is away; `on_degraded` says that this is an error
    │   └── CacheValueError      a value is too large, or not of the codec's kind
    ├── PolicyError
    │   ├── PolicyLoadError      a policy does not parse or reads a counter that cannot exist
    │   └── PolicyEvaluationError a policy failed while it was evaluated
    └── InputError               the caller's request is malformed

A message says what happened, where, and what to do about it. Plugins raise these classes (or
subclasses); core treats anything else that escapes a plugin as a bug in that plugin and says so.
"""

from __future__ import annotations


class FormalClusterError(Exception):
    """The root of the tree."""


class ConfigError(FormalClusterError):
    """The settings are wrong. The message names the key, its source and the nearest valid key."""


class PluginError(FormalClusterError):
    """A plugin cannot be used. The message names its distribution and the mend."""


class DiscoveryError(FormalClusterError):
    """A discovery driver failed for good, for example because it runs on another platform."""


class DiscoveryUnavailable(DiscoveryError):
    """Who exists is unknown right now. Never reported as an empty view."""


class StoreError(FormalClusterError):
    """The root of what a store driver may raise."""


class Conflict(StoreError):
    """`if_revision` did not hold; nothing was changed.

    Attributes:
        actual: The key's present revision, 0 when the key does not exist, None when not known.
    """

    def __init__(self, message: str, *, actual: int | None = None) -> None:
        super().__init__(message)
        self.actual = actual


class Compacted(StoreError):
    """History before `oldest` has been discarded, so a watch cannot start where it was asked to.

    Attributes:
        oldest: The smallest revision a watch can still start from.
    """

    def __init__(self, message: str, *, oldest: int) -> None:
        super().__init__(message)
        self.oldest = oldest


class Unavailable(StoreError):
    """The store did not act on the request. Certainly not applied, so a retry is safe."""


class OutcomeUnknown(StoreError):
    """The change may have been applied: the answer was lost. Read the key before trying again."""


class NotWritable(StoreError):
    """The store refuses writes (space quota, alarm) until the cause is removed."""


class CountersError(FormalClusterError):
    """The root of what a counters driver may raise."""


class CountersUnavailable(CountersError):
    """A strict attempt could not be placed in the log before its deadline.

    The hit may still reach the log; if it does it can only make a later count larger.
    """


class CacheError(FormalClusterError):
    """The root of what the shared cache raises."""


class CacheUnavailable(CacheError):
    """The store does not answer. A write was certainly not made."""


class CacheValueError(CacheError):
    """A value is too large, or not of the kind that the namespace's codec handles."""


class PolicyError(FormalClusterError):
    """The root of policy errors."""


class PolicyLoadError(PolicyError):
    """A policy set was refused. The message has file:line:column for each finding."""


class PolicyEvaluationError(PolicyError):
    """A policy failed at run time; the decision falls back to `policy.on_error`."""


class InputError(FormalClusterError):
    """The caller's input cannot be decided on.

    Attributes:
        code: A stable identifier for programs, for example `input_not_an_object`.
    """

    def __init__(self, message: str, *, code: str = "invalid_input") -> None:
        super().__init__(message)
        self.code = code
