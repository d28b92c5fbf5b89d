"""What the pages show of deploy/ is what deploy/ has."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import hcl2
import yaml

ROOT = Path(__file__).parents[2]
_PLAIN = hcl2.SerializationOptions(
    with_comments=False, explicit_blocks=False, strip_string_quotes=True
)


def block(page: str, language: str, start: str = "") -> str:
    text = (ROOT / page).read_text()
    blocks = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    [found] = [block for block in blocks if block.startswith(start)]
    return found


def test_the_documented_policy_of_a_task_is_the_modules():
    source = (ROOT / "deploy/terraform/ecs-fargate/permissions.tf").read_text()
    module = hcl2.loads(source, serialization_options=_PLAIN)
    [allowed] = [
        block["aws_iam_policy_document"]["discovery"]["statement"][0]
        for block in module["data"]
        if "discovery" in block.get("aws_iam_policy_document", {})
    ]
    [condition] = allowed["condition"]
    in_hcl = (
        f'Effect = "Allow" Action = {json.dumps(allowed["actions"])} '
        f'Resource = "{allowed["resources"][0]}" Condition = {{ {condition["test"]} = '
        f'{{ "{condition["variable"]}" = aws_ecs_cluster.main.arn }} }}'
    )
    assert in_hcl in re.sub(r"\s+", " ", block("docs/run-on-ecs.md", "hcl"))


def test_the_documented_module_call_gives_the_variables_that_the_module_has(deploy):
    page = "deploy/terraform/ecs-fargate/README.md"
    [call] = hcl2.loads(block(page, "hcl"), serialization_options=_PLAIN)["module"]
    given = {name for name in call["connector"] if name != "source"}
    text = (deploy / "terraform/ecs-fargate/variables.tf").read_text()
    variables = {
        name: body
        for variable in hcl2.loads(text, serialization_options=_PLAIN)["variable"]
        for name, body in variable.items()
    }
    needed = {name for name, body in variables.items() if "default" not in body}
    assert needed <= given <= set(variables)


def test_the_documented_installation_of_the_chart_renders_its_policy(deploy, tmp_path):
    """`helm template` takes what `helm install` takes, and needs no cluster."""
    command = block("deploy/helm/formal-cluster/README.md", "sh", "helm install")
    (tmp_path / "deploy").symlink_to(deploy)
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "sensitive_bucket.rego").write_text("package formal.v2\n")
    typed = command.replace("helm install", f"'{ROOT}/tools/helm' template")
    done = subprocess.run(
        ["sh", "-e", "-c", typed], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert 0 == done.returncode, done.stderr
    manifests = [manifest for manifest in yaml.safe_load_all(done.stdout) if manifest]
    [policies] = [m for m in manifests if m["metadata"]["name"] == "connector-policies"]
    assert {"sensitive_bucket.rego": "package formal.v2\n"} == policies["data"]
    [pods] = [m for m in manifests if m["kind"] == "Deployment"]
    [container] = pods["spec"]["template"]["spec"]["containers"]
    assert "registry.example.com/connector:1.0.0" == container["image"]
