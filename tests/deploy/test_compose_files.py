"""The compose files and the balancer's configuration fit each other; tests/docker runs them."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
BALANCER = ROOT / "deploy/compose/haproxy.cfg"


def services(name: str) -> dict[str, dict[str, object]]:
    """The services of a compose file."""
    return dict(yaml.safe_load((ROOT / name).read_text())["services"])


def test_one_port_is_published_alone_or_by_the_balancer() -> None:
    """Replicas share no host port: the base publishes none, and each of its companions one."""
    assert not any("ports" in service for service in services("docker-compose.yml").values())
    alone, scaled = services("docker-compose.override.yml"), services("docker-compose.scale.yml")
    assert alone["api"]["ports"] == scaled["balancer"]["ports"] == ["${PORT:-8000}:8000"]
    assert "ports" not in scaled["api"]


def test_the_balancer_finds_the_replicas() -> None:
    """It resolves the name of the service and speaks to the port that the image serves on."""
    found = re.search(r"server-template \S+ \d+ (\w+):(\d+)", BALANCER.read_text())
    assert found is not None
    assert found[1] in services("docker-compose.yml")
    assert f"FOLDREC_PORT={found[2]}" in (ROOT / "Dockerfile").read_text()
    assert "httpchk GET /ready" in BALANCER.read_text()


def test_haproxy_accepts_the_configuration() -> None:
    """No directive is misspelt."""
    haproxy = shutil.which("haproxy", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if haproxy is None:
        pytest.skip("no haproxy here")
    done = subprocess.run([haproxy, "-c", "-f", BALANCER], text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
