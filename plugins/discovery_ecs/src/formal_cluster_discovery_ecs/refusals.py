"""Why ECS did not answer, as a person needs to read it. Pure.

Each of these may pass without a restart, a missing permission too: a policy can be attached while
the task runs, and takes a while to arrive everywhere. So all of them are *unknown*, none is fatal.
"""

from __future__ import annotations

import json
import re

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
)

from formal_cluster.errors import DiscoveryUnavailable
from formal_cluster_discovery_ecs.target import Target

_ACTIONS = ("ecs:ListTasks", "ecs:DescribeTasks")
_THROTTLED = {"ThrottlingException", "Throttling", "RequestLimitExceeded"}
_RESOURCE = re.compile(r"on resource: (\S+)")


def policy_statement(cluster_arn: str | None) -> str:
    """The statement that an IAM policy of the task role needs, as JSON."""
    statement: dict[str, object] = {"Effect": "Allow", "Action": list(_ACTIONS), "Resource": "*"}
    if cluster_arn is not None:
        # Neither action takes the cluster as its resource; this condition is how to limit both.
        statement["Condition"] = {"ArnEquals": {"ecs:cluster": cluster_arn}}
    return json.dumps(statement)


def explain(
    error: ClientError | BotoCoreError, action: str, target: Target
) -> DiscoveryUnavailable:
    """What went wrong when `action` (ListTasks or DescribeTasks) was called, and the mend."""
    return DiscoveryUnavailable(_text(error, action, target))


def _text(error: ClientError | BotoCoreError, action: str, target: Target) -> str:
    what = f"ECS {action} in cluster {target.cluster}, region {target.region}"
    if isinstance(error, NoCredentialsError | CredentialRetrievalError):
        return (
            f"{what}: no AWS credentials ({error}). Give the task definition a taskRoleArn whose "
            f"policy contains {policy_statement(target.cluster_arn)}"
        )
    if not isinstance(error, ClientError):
        return f"{what}: no answer: {error}. It is tried again"
    code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
    if code == "AccessDeniedException":
        found = _RESOURCE.search(message)
        resource = found[1] if found else "*"
        return (
            f"{what}: the task role may not call ecs:{action} on {resource}. Add this statement to "
            f"its policy: {policy_statement(target.cluster_arn)} (AWS says: {message})"
        )
    if code in _THROTTLED:
        attempts = error.response["ResponseMetadata"].get("RetryAttempts", 0) + 1
        return (
            f"{what}: throttled in all of {attempts} attempts. If this lasts, something in the "
            "account uses up its ECS request rate; raise discovery.ecs.interval"
        )
    if code == "ClusterNotFoundException":
        return f"{what}: there is no such cluster; correct or remove discovery.ecs.cluster"
    if code == "ServiceNotFoundException":
        return (
            f"{what}: there is no service {target.service} in it; correct or remove "
            "discovery.ecs.service"
        )
    return f"{what}: {code}: {message}. It is tried again"
