"""What docs/run-on-ecs.md promises is what the driver does."""

import json
import re
from pathlib import Path

from formal_cluster_discovery_ecs.refusals import policy_statement
from formal_cluster_discovery_ecs.settings import EcsSettings

TEXT = (Path(__file__).parents[3] / "docs" / "run-on-ecs.md").read_text()


def test_the_documented_policy_is_the_one_that_the_driver_asks_for():
    statement = json.loads(policy_statement("aws_ecs_cluster.main.arn"))
    [(operator, condition)] = statement["Condition"].items()
    [(key, cluster)] = condition.items()

    in_hcl = (
        f'Effect = "{statement["Effect"]}" Action = {json.dumps(statement["Action"])} '
        f'Resource = "{statement["Resource"]}" '
        f'Condition = {{ {operator} = {{ "{key}" = {cluster} }} }}'
    )
    assert in_hcl in re.sub(r"\s+", " ", TEXT)


def test_the_documented_defaults_are_the_defaults():
    defaults = EcsSettings()
    assert f"STOPPED, in two looks {defaults.confirm_stopped:g} s apart" in TEXT
    assert f"did not answer within {defaults.timeout:g} s" in TEXT
    assert f"every {defaults.interval:g} s (`discovery.ecs.interval`)" in TEXT
