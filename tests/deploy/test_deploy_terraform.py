"""The module for ECS Fargate: who may do what, who may reach whom, what a deployment takes away.

The source is checked always. Where terraform and a mirror of the AWS provider are on the machine
(`FORMAL_CLUSTER_TEST_TERRAFORM_MIRROR`, or `tf-plugins` in the usual places), it is also
planned, against moto's server.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import hcl2
import pytest

ANOTHER_POLICY = """resource "aws_iam_role_policy" "more" {
  role   = aws_iam_role.task.id
  policy = jsonencode({})
}
"""
ALLOWED = {"ecs:ListTasks", "ecs:DescribeTasks"}
_PLAIN = hcl2.SerializationOptions(
    with_comments=False, explicit_blocks=False, strip_string_quotes=True
)


@cache
def _parse(text: str) -> dict[str, Any]:
    return hcl2.loads(text, serialization_options=_PLAIN)


class Module:
    """A module's blocks: `module.blocks("resource", "aws_ecs_service")["instances"]`."""

    def __init__(self, texts: list[str]) -> None:
        self._parsed = [_parse(text) for text in texts]

    def blocks(self, kind: str, type_: str) -> dict[str, dict[str, Any]]:
        return {
            name: body
            for parsed in self._parsed
            for block in parsed.get(kind, ())
            for name, body in block.get(type_, {}).items()
        }


@pytest.fixture(scope="session")
def directory(deploy: Path) -> Path:
    return deploy / "terraform/ecs-fargate"


@pytest.fixture(scope="session")
def texts(directory: Path) -> list[str]:
    return [path.read_text() for path in sorted(directory.glob("*.tf"))]


@pytest.fixture(scope="session")
def module(texts: list[str]) -> Module:
    return Module(texts)


def granted_to_instances(module: Module) -> set[str]:
    """Every action that the task role allows, and every policy that says so but cannot be read."""
    granted = set()
    documents = module.blocks("data", "aws_iam_policy_document")
    for policy in module.blocks("resource", "aws_iam_role_policy").values():
        if "aws_iam_role.task." not in policy["role"]:
            continue
        source = policy["policy"].removeprefix("${data.aws_iam_policy_document.")
        document = documents.get(source.removesuffix(".json}"))
        if document is None:
            granted.add(policy["policy"])
            continue
        for statement in document["statement"]:
            granted |= set(statement.get("actions", ["not_actions"]))
    for attached in module.blocks("resource", "aws_iam_role_policy_attachment").values():
        if "aws_iam_role.execution." not in attached["role"]:
            granted.add(attached["policy_arn"])
    (role,) = (r for name, r in module.blocks("resource", "aws_iam_role").items() if name == "task")
    granted |= {key for key in role if key in {"inline_policy", "managed_policy_arns"}}
    return granted


def test_instances_may_list_and_describe_tasks_and_nothing_else(module):
    assert ALLOWED == granted_to_instances(module)


def test_both_actions_are_limited_to_the_one_cluster(module):
    document = module.blocks("data", "aws_iam_policy_document")["discovery"]
    (statement,) = document["statement"]
    (condition,) = statement["condition"]
    assert ("ArnEquals", "ecs:cluster") == (condition["test"], condition["variable"])
    assert ["${var.cluster_arn}"] == condition["values"]


@pytest.mark.parametrize(
    ("found", "put"),
    [
        ('"ecs:DescribeTasks"]', '"ecs:DescribeTasks", "ecs:StopTask"]'),
        ('"ecs:ListTasks", ', '"ecs:*", '),
        ("role       = aws_iam_role.execution.name", "role       = aws_iam_role.task.name"),
        (
            'resource "aws_iam_role" "task" {',
            'resource "aws_iam_role" "task" {\n  managed_policy_arns = ["arn:x"]',
        ),
        (
            'resource "aws_iam_role" "execution" {',
            ANOTHER_POLICY + 'resource "aws_iam_role" "execution" {',
        ),
    ],
)
def test_any_other_permission_would_be_noticed(texts, found, put):
    changed = [text.replace(found, put) for text in texts]
    assert changed != texts
    assert ALLOWED != granted_to_instances(Module(changed))


def test_the_state_servers_are_open_to_the_instances_alone(module):
    own = "${aws_security_group.instances.id}"
    rules = module.blocks("resource", "aws_vpc_security_group_ingress_rule")
    assert {"cluster", "decisions"} == set(rules)
    cluster = rules["cluster"]
    assert (2379, 2380, "tcp") == (
        cluster["from_port"],
        cluster["to_port"],
        cluster["ip_protocol"],
    )
    assert own == cluster["security_group_id"] == cluster["referenced_security_group_id"]
    assert (8181, 8181) == (rules["decisions"]["from_port"], rules["decisions"]["to_port"])
    assert all(not key.startswith("cidr") for rule in rules.values() for key in rule)
    assert "ingress" not in module.blocks("resource", "aws_security_group")["instances"]


def test_a_deployment_adds_one_instance_at_a_time_and_takes_none_away(module):
    service = module.blocks("resource", "aws_ecs_service")["instances"]
    assert 100 == service["deployment_minimum_healthy_percent"]
    formula = "${ceil(100 * (var.desired_count + 1) / var.desired_count)}"
    assert formula == service["deployment_maximum_percent"]
    for instances in range(1, 101):
        percent = -(-100 * (instances + 1) // instances)
        assert instances + 1 == instances * percent // 100  # ECS rounds down


def test_it_is_formatted(directory):
    terraform = shutil.which("terraform")
    if terraform is None:
        pytest.skip("no terraform program on this machine")
    done = subprocess.run(
        [terraform, "fmt", "-check", "-diff", "-recursive", str(directory)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stdout


# ── against an AWS of sorts ─────────────────────────────────────────────────────────────────────


def mirror() -> Path | None:
    named = os.environ.get("FORMAL_CLUSTER_TEST_TERRAFORM_MIRROR")
    places = [Path(named)] if named else [Path(p, "tf-plugins") for p in ("/opt", "/usr/local")]
    return next((place for place in places if place.is_dir()), None)


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    # An address that nobody else uses, so that nobody takes the port.
    host = f"127.{random.randint(1, 254)}.{random.randint(0, 254)}.{random.randint(1, 254)}"
    with socket.create_server((host, 0)) as free:
        port = free.getsockname()[1]
    url = f"http://{host}:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", host, "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            deadline = time.monotonic() + 120
            while True:
                try:
                    urllib.request.urlopen(f"{url}/moto-api/data.json", timeout=2).close()
                    break
                except OSError:
                    assert time.monotonic() < deadline, "moto's server did not start"
                    time.sleep(0.1)
            yield url
        finally:
            server.terminate()


SURROUNDINGS = """
terraform {{
  required_providers {{
    aws = {{ source = "hashicorp/aws" }}
  }}
}}

provider "aws" {{
  region                      = "eu-central-1"
  access_key                  = "test"
  secret_key                  = "test"
  skip_credentials_validation = true
  skip_requesting_account_id  = true
  endpoints {{
    ec2  = "{url}"
    ecs  = "{url}"
    iam  = "{url}"
    logs = "{url}"
    sts  = "{url}"
  }}
}}

resource "aws_vpc" "main" {{ cidr_block = "10.0.0.0/16" }}

resource "aws_subnet" "main" {{
  vpc_id     = aws_vpc.main.id
  cidr_block = "10.0.1.0/24"
}}

resource "aws_security_group" "proxy" {{
  name   = "proxy"
  vpc_id = aws_vpc.main.id
}}

module "connector" {{
  source = "{module}"

  cluster_arn = "arn:aws:ecs:eu-central-1:123456789012:cluster/main"
  vpc_id      = aws_vpc.main.id
  subnet_ids  = [aws_subnet.main.id]
  image       = "registry.example.com/connector:1.0.0"
  environment = {{ FORMAL_CLUSTER_POLICY__PATHS = jsonencode(["/policies"]) }}
  clients     = {{ proxy = aws_security_group.proxy.id }}
}}
"""


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_terraform_plans_it(aws, directory, tmp_path):
    terraform, plugins = shutil.which("terraform"), mirror()
    if terraform is None or plugins is None:
        pytest.skip("no terraform program, or no mirror of the AWS provider, on this machine")
    (tmp_path / "main.tf").write_text(SURROUNDINGS.format(url=aws, module=directory))
    (tmp_path / "cli.tfrc").write_text(
        f'provider_installation {{\n  filesystem_mirror {{ path = "{plugins}" }}\n}}\n'
    )
    environment = os.environ | {
        "TF_CLI_CONFIG_FILE": str(tmp_path / "cli.tfrc"),
        "CHECKPOINT_DISABLE": "1",
    }

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [terraform, *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert 0 == done.returncode, done.stdout + done.stderr
        return done.stdout

    run("init", "-input=false", "-no-color")
    run("plan", "-input=false", "-no-color", "-out=plan")
    changes = json.loads(run("show", "-json", "plan"))["resource_changes"]
    planned = {
        change["address"].removeprefix("module.connector."): change["change"]["after"]
        for change in changes
    }
    service = planned["aws_ecs_service.instances"]
    assert (3, 100, 134) == (
        service["desired_count"],
        service["deployment_minimum_healthy_percent"],
        service["deployment_maximum_percent"],
    )
    policy = json.loads(planned["aws_iam_role_policy.discovery"]["policy"])
    (statement,) = policy["Statement"]
    assert ALLOWED == set(statement["Action"])
    cluster = "arn:aws:ecs:eu-central-1:123456789012:cluster/main"
    assert {"ArnEquals": {"ecs:cluster": cluster}} == statement["Condition"]
    rule = planned['aws_vpc_security_group_ingress_rule.decisions["proxy"]']
    assert (8181, 8181) == (rule["from_port"], rule["to_port"])
