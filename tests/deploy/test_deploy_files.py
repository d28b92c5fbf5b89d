"""The image, the laptop's three instances and the systemd unit."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from formal_cluster.settings import Settings
from formal_cluster_store_etcd.member.binary import Version, check_version

ROOT = Path(__file__).parents[2]


@pytest.fixture
def dockerfile(deploy) -> list[tuple[str, str]]:
    text = (deploy / "docker/Dockerfile").read_text()
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    return [tuple(line.split(maxsplit=1)) for line in text.splitlines() if line.strip()]


def test_the_image_does_not_run_as_root_and_owns_its_data_directory(dockerfile):
    last = max(index for index, (word, _) in enumerate(dockerfile) if word == "FROM")
    final = dockerfile[last:]
    assert ("USER", "10001:10001") in final
    made = next(i for i, (_, rest) in enumerate(final) if "--owner 10001" in rest)
    assert "/default.etcd" in final[made][1]
    assert made < final.index(("VOLUME", "/default.etcd")) < final.index(("USER", "10001:10001"))


def test_what_the_image_is_built_from_is_here(dockerfile, deploy):
    wanted = deploy / "docker/Dockerfile.dockerignore"
    kept = {line[1:] for line in wanted.read_text().splitlines() if line.startswith("!")}
    for pattern in kept:
        assert list(ROOT.glob(pattern)), pattern
    build = next(rest for word, rest in dockerfile if word == "RUN" and "pip wheel" in rest)
    for source in re.findall(r"/src/(\S+)", build):
        assert (ROOT / source / "pyproject.toml").is_file(), source


def test_the_images_etcd_is_a_sound_version(dockerfile):
    image = next(rest for word, rest in dockerfile if rest.startswith("ETCD_IMAGE="))
    version = Version(*map(int, re.search(r":v(\d+)\.(\d+)\.(\d+)$", image).groups()))
    assert check_version(version, allow_known_bad=False) is None


def test_the_three_of_the_laptop_share_a_file_that_names_their_addresses(deploy):
    compose = yaml.safe_load((deploy / "compose/compose.yaml").read_text())
    settings = Settings.model_validate(tomllib.loads((deploy / "compose/config.toml").read_text()))
    listed = settings.discovery.options["static"]["instances"]
    assert {instance["id"]: instance["address"] for instance in listed} == {
        name: service["networks"]["connectors"]["ipv4_address"]
        for name, service in compose["services"].items()
    }
    for service in compose["services"].values():
        for volume in service["volumes"]:
            assert (deploy / "compose" / volume.split(":")[0]).exists(), volume


def test_systemd_understands_the_unit(deploy, tmp_path):
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("no systemd-analyze program on this machine")
    unit = (deploy / "systemd/formal-cluster.service").read_text()
    program = re.search(r"^ExecStart=(\S+)", unit, re.MULTILINE).group(1)
    copy = tmp_path / "formal-cluster.service"
    copy.write_text(unit.replace(program, "/bin/true"))
    done = subprocess.run([verify, "verify", copy], capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if "formal-cluster" in line]
    assert [] == ours
