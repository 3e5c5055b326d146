"""The Kubernetes manifests: by the cluster's own schemas, and by what the service itself says of itself."""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from app.main import create_app
from app.metrics import Metrics
from app.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "deploy/kubernetes"
OVERLAYS = ("volume", "object-store")
VERSIONS = ("1.30", "1.37")
"""The oldest and the newest cluster that the manifests are checked for."""

Manifest = dict[str, Any]


def read(path: Path) -> Manifest:
    """One file's one document."""
    (document,) = yaml.safe_load_all(path.read_text())
    return dict(document)


def merged(base: Any, patch: Any) -> Any:
    """A strategic merge: mappings by member, null removes one, lists of named things by name."""
    if isinstance(base, dict) and isinstance(patch, dict):
        both = {key: merged(base[key], patch[key]) if key in base else patch[key] for key in patch}
        return {key: value for key, value in (base | both).items() if value is not None}
    if isinstance(base, list) and all("name" in part for part in [*base, *patch]):
        patched = {part["name"]: part for part in patch}
        kept = [merged(part, patched.pop(part["name"], {})) for part in base]
        return [*kept, *patched.values()]
    return patch


def composed(overlay: str) -> dict[str, Manifest]:
    """The manifests of an overlay by their kind, as `kubectl kustomize` composes them."""
    manifests: dict[str, Manifest] = {}
    pending = [MANIFESTS / overlay]
    patches = []
    images = []
    while pending:
        directory = pending.pop()
        kustomization = read(directory / "kustomization.yaml")
        patches += [read(directory / each["path"]) for each in kustomization.get("patches", ())]
        images += kustomization.get("images", ())
        for resource in kustomization["resources"]:
            if (directory / resource).is_dir():
                pending.append(directory / resource)
            else:
                manifest = read(directory / resource)
                manifests[manifest["kind"]] = manifest
    for patch in patches:
        manifests[patch["kind"]] = merged(manifests[patch["kind"]], patch)
    for container in pod(manifests)["containers"]:
        for image in images:
            if container["image"] == image["name"]:
                container["image"] = f"{image['newName']}:{image['newTag']}"
    return manifests


def pod(manifests: dict[str, Manifest]) -> Manifest:
    """What every pod of the Deployment is."""
    return dict(manifests["Deployment"]["spec"]["template"]["spec"])


@pytest.fixture(params=OVERLAYS)
def manifests(request: pytest.FixtureRequest) -> dict[str, Manifest]:
    """All that one overlay applies."""
    return composed(request.param)


@pytest.fixture
def api(manifests: dict[str, Manifest]) -> Manifest:
    """The container that answers."""
    (container,) = pod(manifests)["containers"]
    return dict(container)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_fits_the_clusters_schema(manifests: dict[str, Manifest], version: str) -> None:
    """No member is misspelt, missing or of a wrong type, in the oldest and the newest version."""
    assert {"Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget"} <= manifests.keys()
    for manifest in manifests.values():
        kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("Deployment", ("spec", "template", "spec", "enableServiceLink"), False),
        ("Deployment", ("spec", "template", "spec", "terminationGracePeriodSeconds"), "thirty"),
        ("Deployment", ("spec", "selector"), "app=foldrec"),
        ("Service", ("spec", "ports"), [{"name": "http", "targetPort": "http"}]),
        ("HorizontalPodAutoscaler", ("spec", "metrics"), [{"pods": {}}]),
        ("PodDisruptionBudget", ("spec", "maxUnavailable"), [1]),
    ],
)
def test_a_wrong_manifest_does_not_fit(kind: str, path: tuple[str, ...], value: object) -> None:
    """The check above can fail: a misspelt member, a wrong type, a missing one."""
    manifest = copy.deepcopy(composed("volume")[kind])
    *outer, last = path
    place = manifest
    for member in outer:
        place = place[member]
    place[last] = value
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kubectl_composes_the_same(overlay: str) -> None:
    """What is checked here is what `kubectl apply -k` would send."""
    if shutil.which("kubectl") is None:
        pytest.skip("no kubectl here")
    rendered = subprocess.run(
        ["kubectl", "kustomize", MANIFESTS / overlay], text=True, capture_output=True, check=True
    ).stdout
    assert {each["kind"]: each for each in yaml.safe_load_all(rendered)} == composed(overlay)


def test_the_autoscaler_scales_by_what_there_is(manifests: dict[str, Manifest], api: Manifest) -> None:
    """Its target is the Deployment, which fixes no number; CPU is requested; the pods' metric is exported."""
    autoscaler = manifests["HorizontalPodAutoscaler"]["spec"]
    deployment = manifests["Deployment"]
    assert autoscaler["scaleTargetRef"] == {
        "apiVersion": deployment["apiVersion"],
        "kind": deployment["kind"],
        "name": deployment["metadata"]["name"],
    }
    assert "replicas" not in deployment["spec"]
    by_type = {metric["type"]: metric for metric in autoscaler["metrics"]}
    assert by_type["Resource"]["resource"]["name"] in api["resources"]["requests"]
    metric = by_type["Pods"]["pods"]["metric"]["name"]
    assert f"\n{metric} " in Metrics().render().decode()
    most = Settings.model_fields["max_in_flight"].default
    assert int(by_type["Pods"]["pods"]["target"]["averageValue"]) < most
    annotations = deployment["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/path"] in paths()
    assert int(annotations["prometheus.io/port"]) == api["ports"][0]["containerPort"]


def test_a_disruption_leaves_replicas(manifests: dict[str, Manifest]) -> None:
    """Of the fewest replicas that there can be, a drained node and an update take at most one."""
    at_least = manifests["HorizontalPodAutoscaler"]["spec"]["minReplicas"]
    assert at_least > manifests["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1
    assert manifests["Deployment"]["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_selectors_find_the_pods(manifests: dict[str, Manifest], api: Manifest) -> None:
    """Deployment, Service, budget and spread select the labels that the pods have."""
    labels = manifests["Deployment"]["spec"]["template"]["metadata"]["labels"]
    (spread,) = pod(manifests)["topologySpreadConstraints"]
    selectors = [
        manifests["Deployment"]["spec"]["selector"]["matchLabels"],
        manifests["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        manifests["Service"]["spec"]["selector"],
        spread["labelSelector"]["matchLabels"],
    ]
    for selector in selectors:
        assert selector.items() <= labels.items()
    (port,) = manifests["Service"]["spec"]["ports"]
    assert port["targetPort"] in {each["name"] for each in api["ports"]}


def paths() -> set[str]:
    """The paths of the service."""
    return set(create_app(Settings()).openapi()["paths"])


def test_probes_ask_what_the_service_answers(api: Manifest) -> None:
    """Ready: a model is loaded. Live: the process answers. Both need no key."""
    asked = {
        name: api[name]["httpGet"]["path"] for name in ("startupProbe", "readinessProbe", "livenessProbe")
    }
    assert asked == {"startupProbe": "/ready", "readinessProbe": "/ready", "livenessProbe": "/live"}
    assert set(asked.values()) <= paths()
    names = {port["name"]: port["containerPort"] for port in api["ports"]}
    assert {names[api[name]["httpGet"]["port"]] for name in asked} == {8000}
    assert "FOLDREC_PORT=8000" in (ROOT / "Dockerfile").read_text()


def test_settings_exist_and_the_cluster_adds_none(manifests: dict[str, Manifest], api: Manifest) -> None:
    """A Service `foldrec` would put FOLDREC_PORT=tcp://… into the pods, which the service refuses."""
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    assert {each["name"] for each in api["env"]} <= known
    assert manifests["Service"]["metadata"]["name"].upper() + "_" == PREFIX
    assert pod(manifests)["enableServiceLinks"] is False


def test_requests_in_flight_may_end(manifests: dict[str, Manifest], api: Manifest) -> None:
    """The cluster waits for the balancers to hear of it and for the service to drain."""
    *_, seconds = api["lifecycle"]["preStop"]["exec"]["command"]
    drain = Settings.model_fields["drain_seconds"].default
    assert pod(manifests)["terminationGracePeriodSeconds"] > int(seconds) + drain


def test_no_container_has_rights(manifests: dict[str, Manifest]) -> None:
    """Not root, as in the image; nothing to write to but /tmp; no capability; no token."""
    spec = pod(manifests)
    assert spec["automountServiceAccountToken"] is False
    user = spec["securityContext"]
    assert user["runAsNonRoot"] is True
    assert f"USER {user['runAsUser']}:{user['runAsGroup']}" in (ROOT / "Dockerfile").read_text()
    assert user["seccompProfile"]["type"] == "RuntimeDefault"
    for container in [*spec["containers"], *spec.get("initContainers", ())]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]
    volumes = {volume["name"] for volume in spec["volumes"]}
    mounts = {mount["name"]: mount for mount in spec["containers"][0]["volumeMounts"]}
    assert mounts.keys() <= volumes
    assert mounts["artifacts"]["readOnly"] is True
    assert f"FOLDREC_ARTIFACTS={mounts['artifacts']['mountPath']}" in (ROOT / "Dockerfile").read_text()


STORE = """#!/bin/sh
# rclone, of a store that is a directory.
case $1 in
  cat) cat "$STORE/${2#store:}" ;;
  copy) mkdir -p "$5" && cp -r "$STORE/${4#store:}/." "$5" ;;
esac
"""


def fetch(tmp_path: Path, store: Path) -> subprocess.CompletedProcess[str]:
    """Run what the init container runs, on a store that is a directory."""
    (container,) = pod(composed("object-store"))["initContainers"]
    rclone = tmp_path / "bin/rclone"
    rclone.parent.mkdir()
    rclone.write_text(STORE)
    rclone.chmod(0o755)
    target = tmp_path / "target"
    target.mkdir()
    environment = {each["name"]: each["value"] for each in container["env"]} | {
        "PATH": f"{rclone.parent}:{os.environ['PATH']}",
        "STORE": str(store),
        "TARGET": str(target),
    }
    words = [*container["command"], *container["args"]]
    return subprocess.run(words, env=environment, text=True, capture_output=True, check=False)


def test_a_pod_fetches_the_current_version_alone(tmp_path: Path) -> None:
    """Of a store with several versions, the one that CURRENT names is copied, and named."""
    bucket = tmp_path / "store/foldrec/artifacts"
    for version in ("20260101T000000Z-0001", "20260102T000000Z-0002"):
        (bucket / version).mkdir(parents=True)
        (bucket / version / "manifest.json").write_text(version)
    (bucket / "CURRENT").write_text("20260101T000000Z-0001\n")
    done = fetch(tmp_path, tmp_path / "store")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "target").iterdir()) == [
        "20260101T000000Z-0001",
        "CURRENT",
    ]
    assert (tmp_path / "target/CURRENT").read_text() == "20260101T000000Z-0001\n"
    assert (tmp_path / "target/20260101T000000Z-0001/manifest.json").is_file()


@pytest.mark.parametrize("current", [None, "20260109T000000Z-0009\n"])
def test_a_store_without_the_version_stops_the_pod(tmp_path: Path, current: str | None) -> None:
    """The service does not start on nothing: the init container fails and is tried again."""
    bucket = tmp_path / "store/foldrec/artifacts"
    bucket.mkdir(parents=True)
    if current is not None:
        (bucket / "CURRENT").write_text(current)
    assert fetch(tmp_path, tmp_path / "store").returncode != 0
    assert not (tmp_path / "target/CURRENT").exists()
