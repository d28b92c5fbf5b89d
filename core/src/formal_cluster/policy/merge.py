"""Several policies, one answer: the precedence of their outcomes. Pure.

Of all outcomes at a stage one wins; the others stay visible in `Decision.outcomes`.

| rank | action       | among several of the same action                      |
|------|--------------|--------------------------------------------------------|
| 1    | `block`      | the first policy in order                              |
| 2    | *failed*     | with `policy.on_error = "block"`: a block of our own   |
| 3    | `mfa`        | the first policy in order                              |
| 4    | `quarantine` | the first policy in order                              |
| 5    | `filter`     | the smallest `limit`; without one, after all that have |
| 6    | `mask`       | the first policy in order                              |
| 7    | `encrypt`    | the first policy in order                              |
| 8    | `rewrite`    | the first policy in order                              |
| 9    | `decrypt`    | the first policy in order                              |
| 10   | `allow`      | the first policy in order                              |

The order of policies is that of `policy.paths`, files of a directory by name. What denies goes
before what restricts, and that before what only changes or permits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Literal

from formal_cluster.model import JSON, PolicyOutcome

ACTIONS = (
    "block",
    "mfa",
    "quarantine",
    "filter",
    "mask",
    "encrypt",
    "rewrite",
    "decrypt",
    "allow",
)
"""Every action a policy may return, the stronger first."""

_RANK = {action: rank for rank, action in enumerate(ACTIONS)}

Result = Mapping[str, JSON]


def merge(
    outcomes: Sequence[PolicyOutcome], on_error: Literal["block", "allow"]
) -> tuple[Result | None, str | None]:
    """The winning result, and a reason where the framework had a say in it.

    Args:
        outcomes: In the order of the policies.
        on_error: What a failed policy counts as: a block, or nothing at all.

    Returns:
        The result, None when no policy had anything to say; and which policies failed, None when
        none did or when a policy's own block won anyway.
    """
    results = [outcome.result for outcome in outcomes if outcome.result is not None]
    winner = min(results, key=_precedence) if results else None
    if winner is not None and winner["action"] == "block":
        return winner, None
    failures = [f"{o.policy}: {o.error}" for o in outcomes if o.error is not None]
    if not failures:
        return winner, None
    if on_error == "allow":
        return winner, f"policy failed and was ignored: {'; '.join(failures)}"
    reason = f"policy failed: {'; '.join(failures)}"
    return framework_block(reason), reason


def framework_block(reason: str) -> Result:
    """A block that no policy asked for."""
    return {"action": "block", "type": "block_with_formal_message", "reason": reason}


def result_error(result: object) -> str | None:
    """What keeps a stage rule's value from being an outcome; None when it is one."""
    if type(result) is not dict and not isinstance(result, Mapping):
        return f"the rule must give an object with an action, not {result!r:.60}"
    action = result.get("action")
    if not isinstance(action, str):
        return f'the object needs an "action", one of {", ".join(ACTIONS)}'
    return None if action in _RANK else unknown_action(action)


def unknown_action(name: str) -> str:
    """The message for an action that nobody would carry out."""
    near = get_close_matches(name, ACTIONS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"use one of {', '.join(ACTIONS)}"
    return f"unknown action {name!r}; {hint}"


def _precedence(result: Result) -> tuple[int, float]:
    action, limit = result["action"], result.get("limit")
    assert isinstance(action, str)  # `result_error` has been asked before
    if action == "filter" and isinstance(limit, int | float):
        return _RANK[action], float(limit)
    return _RANK[action], math.inf
