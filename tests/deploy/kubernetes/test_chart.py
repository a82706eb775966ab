"""What the chart sends to a cluster: valid for Kubernetes, confined as in docker/compose.yaml, read by the programs."""

from __future__ import annotations

import os
import re
from typing import Any

import kubernetes_validate
import pytest
import yaml

import btard
from btard.byzantine.selection import make_behaviour
from btard.cli.health import MOST_SECONDS
from btard.configuration import load_settings
from btard.coordinator.settings import CoordinatorSettings
from btard.deploy.kubernetes.schema import CHART
from btard.peer.settings import PeerSettings
from tests.deploy.kubernetes.helm import call, container, environment, references, render
from tests.deploy.standins import ROOT

ATTACKERS: list[dict[str, Any]] = [
    {
        "name": "flippers",
        "replicas": 2,
        "environment": {"ATTACK_TYPE": "SIGN_FLIPPING", "ATTACK_START": 1000000, "CHECK_PROBA": 0.0375},
    },
    {"name": "liars", "replicas": 1, "environment": {"ATTACK_TYPE": "ALIE", "COLLUDE_AT": "/shared"}},
]

CASES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "gpus": {
        "peers": {
            "gpus": 2,
            "runtimeClassName": "nvidia",
            "storage": {"persistent": True, "className": "fast"},
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
            "nodeSelector": {"accelerator": "t4"},
            "affinity": {"podAntiAffinity": {}},
        }
    },
    "attackers": {"attackers": ATTACKERS, "peers": {"replicas": 5}},
    "dashboard": {"dashboard": {"enabled": True, "port": 9000, "tokenSecret": {"name": "page", "key": "word"}}},
    "metrics": {"metrics": {"enabled": True, "tokenSecret": {"name": "scrape"}}},
    "wandb": {"wandb": {"keySecret": {"name": "wandb", "key": "api-key"}}},
    "all": {
        "attackers": ATTACKERS,
        "dashboard": {"enabled": True, "tokenSecret": {"name": "page"}},
        "metrics": {"enabled": True, "port": 9200, "tokenSecret": {"name": "scrape", "key": "word"}},
        "wandb": {"keySecret": {"name": "wandb"}},
        "images": {"pullSecrets": ["registry"], "peer": {"repository": "registry.example:5000/btard-peer", "tag": "1"}},
        "networkPolicy": {
            "enabled": True,
            "from": [{"ipBlock": {"cidr": "203.0.113.0/24"}}],
            "dashboardFrom": [{"namespaceSelector": {}}],
            "metricsFrom": [{"podSelector": {}}],
        },
        "coordinator": {
            "service": {"type": "LoadBalancer", "annotations": {"a": "b"}},
            "storage": {"className": "slow"},
        },
        "volumes": [{"name": "corpus", "persistentVolumeClaim": {"claimName": "corpus"}}],
        "volumeMounts": [{"name": "corpus", "mountPath": "/corpus", "readOnly": True}],
        "settings": {
            "task": "albert",
            "total_steps": 1000000,
            "tau": 0.125,
            "learning_rate": 1e-8,
            "checkpoint_at": [950, "4950"],
            "public": True,
            "announce": ["203.0.113.5", "203.0.113.6"],
            "eliminate": "mutual",
        },
        "peerSettings": {"data": "/corpus", "threads": 3, "join_timeout": 1200.5},
    },
}


@pytest.fixture(params=CASES)
def values(request: pytest.FixtureRequest) -> dict[str, Any]:
    return CASES[request.param]


@pytest.mark.parametrize("version", ["1.30", "1.37"])
def test_kubernetes_would_take_it(values: dict[str, Any], version: str) -> None:
    documents = render(values).documents
    assert len(documents) >= 5
    for document in documents:
        kubernetes_validate.validate(document, version, strict=True)


def test_the_check_itself_refuses() -> None:
    pod = render().documents[-1]
    pod["spec"]["template"]["spec"]["enableServiceLink"] = False
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(pod, "1.37", strict=True)


def test_helm_lint_has_nothing_to_say() -> None:
    said = call("lint", "--strict", str(CHART)).stdout
    assert "[WARNING]" not in said and "[ERROR]" not in said and "0 chart(s) failed" in said


def test_pods_may_do_as_little_as_in_compose(values: dict[str, Any]) -> None:
    compose = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["services"]["coordinator"]
    assert compose["read_only"] and compose["cap_drop"] == ["ALL"], "what this test compares with"
    pods = render(values).pods()
    assert len(pods) >= 2
    for pod in pods.values():
        spec, inside = pod["spec"], container(pod)["securityContext"]
        assert inside == {
            "privileged": False,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        outside = spec["securityContext"]
        assert outside["runAsNonRoot"] and outside["runAsUser"] == 1000 and outside["fsGroup"] == 1000
        assert outside["seccompProfile"] == {"type": "RuntimeDefault"}
        assert outside["fsGroupChangePolicy"] == "OnRootMismatch", "else a key that is mounted again is refused"
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False, "else BTARD_*_SERVICE_HOST stops every program"
        assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & set(spec)
        assert not any("hostPath" in volume for volume in spec["volumes"])
        seconds = float(compose["stop_grace_period"].removesuffix("s"))
        assert spec["terminationGracePeriodSeconds"] >= seconds


def test_what_a_program_writes_is_on_volumes(values: dict[str, Any]) -> None:
    rendered = render(values)
    for document in rendered.kinds("StatefulSet"):
        pod = document["spec"]["template"]["spec"]
        there = {volume["name"] for volume in pod["volumes"]}
        there |= {claim["metadata"]["name"] for claim in document["spec"].get("volumeClaimTemplates", [])}
        mounts = {mount["mountPath"]: mount for mount in pod["containers"][0]["volumeMounts"]}
        assert {mount["name"] for mount in mounts.values()} <= there
        assert not mounts["/data"].get("readOnly") and not mounts["/tmp"].get("readOnly")
    claims = rendered.named("StatefulSet", "trial-btard-coordinator")["spec"]["volumeClaimTemplates"]
    assert [claim["metadata"]["name"] for claim in claims] == ["data"]
    for program in ("coordinator", "peer"):
        assert "BTARD_DIRECTORY=/data" in (ROOT / "docker" / f"{program}.Dockerfile").read_text()


def test_probes_are_the_images_health_check(values: dict[str, Any]) -> None:
    for pod in render(values).pods().values():
        inside = container(pod)
        for program in ("coordinator", "peer"):
            assert '["python", "-m", "btard.cli.health"]' in (ROOT / "docker" / f"{program}.Dockerfile").read_text()
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert inside[probe]["exec"]["command"] == ["python", "-m", "btard.cli.health"]
        startup, live = inside["startupProbe"], inside["livenessProbe"]
        assert startup["periodSeconds"] * startup["failureThreshold"] >= 900
        assert live["periodSeconds"] * live["failureThreshold"] >= MOST_SECONDS


def test_selectors_match_pods_and_ports_are_theirs(values: dict[str, Any]) -> None:
    rendered = render(values)
    labels = {name: pod["metadata"]["labels"] for name, pod in rendered.pods().items()}
    for document in rendered.kinds("StatefulSet"):
        name, selector = document["metadata"]["name"], document["spec"]["selector"]["matchLabels"]
        assert [other for other, has in labels.items() if selector.items() <= has.items()] == [name]
        service = rendered.named("Service", document["spec"]["serviceName"])
        assert service["spec"]["clusterIP"] == "None" and service["spec"]["selector"].items() <= labels[name].items()
    for service in rendered.kinds("Service"):
        chosen = [name for name, has in labels.items() if service["spec"]["selector"].items() <= has.items()]
        coordinator = service["metadata"]["labels"]["app.kubernetes.io/component"] == "coordinator"
        assert chosen and all(name.endswith("-coordinator") == coordinator for name in chosen)
        for name in chosen:
            ports = {port["name"]: port["containerPort"] for port in container(rendered.pods()[name])["ports"]}
            assert all(ports[port["targetPort"]] == port["port"] for port in service["spec"]["ports"])
    for policy in rendered.kinds("NetworkPolicy"):
        chosen = policy["spec"]["podSelector"]["matchLabels"]
        assert all(chosen.items() <= has.items() for has in labels.values())
        assert policy["spec"]["ingress"][0]["from"][0]["podSelector"]["matchLabels"] == chosen


def test_programs_read_what_they_are_told(values: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The programs' own configuration refuses a BTARD_* variable that does not exist, and values that are not right."""
    rendered = render(values)
    for name in [name for name in os.environ if name.startswith("BTARD_")]:
        monkeypatch.delenv(name)
    with monkeypatch.context() as patch:
        for name, value in environment(rendered.coordinator()).items():
            patch.setenv(name, value)
        told = load_settings(CoordinatorSettings, [], program="btard-coordinator")
    given = values.get("settings", {})
    assert told.experiment == given.get("experiment", "trial")
    for name in given.keys() - {"checkpoint_at"}:
        assert getattr(told, name) == given[name], name
    assert told.checkpoint_steps == tuple(map(int, given.get("checkpoint_at", [])))
    ports = {port["name"]: port["containerPort"] for port in rendered.coordinator()["ports"]}
    assert told.dht_port == ports["dht"] == 31337
    assert (told.dashboard is not None) == ("dashboard" in ports)
    if told.dashboard is not None:
        assert told.dashboard == f"0.0.0.0:{ports['dashboard']}"
    for group, inside in rendered.peers().items():
        with monkeypatch.context() as patch:
            for name, value in environment(inside).items():
                patch.setenv(name, value)
            peer = load_settings(PeerSettings, [], program="btard-peer")
        assert peer.port == inside["ports"][0]["containerPort"] == 31337
        (address,) = peer.initial_peers
        assert rendered.named("Service", address.removesuffix(":31337"))["spec"]["ports"][0]["port"] == 31337
        assert (peer.attack_type == "NONE") == (group == "peer")
        make_behaviour(peer, seed=b"a seed")
        opened = {port["name"]: port["containerPort"] for port in inside["ports"]}
        for daemon in (peer, told):
            assert daemon.metrics == (f"0.0.0.0:{opened['metrics']}" if "metrics" in opened else None)


def test_attackers_get_their_environment_and_nobody_else_does() -> None:
    rendered = render(CASES["attackers"])
    groups = {name: environment(inside) for name, inside in rendered.peers().items()}
    assert set(groups) == {"peer", "attacker-flippers", "attacker-liars"}
    flippers = groups["attacker-flippers"]
    assert (flippers["ATTACK_TYPE"], flippers["ATTACK_START"]) == ("SIGN_FLIPPING", "1000000")
    assert flippers["CHECK_PROBA"] == "0.0375"
    assert groups["attacker-liars"]["COLLUDE_AT"] == "/shared"
    names = {name for attacker in ATTACKERS for name in attacker["environment"]}
    assert not names & (set(groups["peer"]) | set(environment(rendered.coordinator())))
    replicas = {d["metadata"]["name"]: d["spec"]["replicas"] for d in rendered.kinds("StatefulSet")}
    assert replicas["trial-btard-peer"] == 5 and replicas["trial-btard-attacker-flippers"] == 2
    assert environment(rendered.coordinator())["BTARD_PEERS"] == "8", "the run begins with all of them"


def test_gpus() -> None:
    with_gpus, without = render(CASES["gpus"] | {"attackers": ATTACKERS}), render()
    for inside in with_gpus.peers().values():
        assert inside["resources"]["limits"] == {"nvidia.com/gpu": 2}
        assert inside["resources"]["requests"] == {"cpu": 1, "memory": "1Gi", "nvidia.com/gpu": 2}
        assert environment(inside)["BTARD_DEVICE"] == "cuda" and "NVIDIA_VISIBLE_DEVICES" not in environment(inside)
    pod = with_gpus.pods()["trial-btard-peer"]["spec"]
    assert pod["runtimeClassName"] == "nvidia" and pod["tolerations"] and pod["nodeSelector"] and pod["affinity"]
    assert "nvidia.com/gpu" not in str(with_gpus.coordinator()) + str(without.documents)
    peer = without.peers()["peer"]
    assert environment(peer)["BTARD_DEVICE"] == "cpu" and environment(peer)["NVIDIA_VISIBLE_DEVICES"] == "void"
    assert references(peer)["BTARD_THREADS"] == {"resourceFieldRef": {"resource": "requests.cpu"}}


def test_everything_asks_for_its_resources(values: dict[str, Any]) -> None:
    rendered = render(values)
    for inside in (rendered.coordinator(), *rendered.peers().values()):
        assert {"cpu", "memory"} <= set(inside["resources"]["requests"])


def test_secrets_are_only_referred_to() -> None:
    rendered = render(CASES["all"])
    inside = rendered.coordinator()
    assert references(inside) == {"WANDB_API_KEY": {"secretKeyRef": {"name": "wandb", "key": "api-key"}}}
    variables = environment(inside)
    assert variables["BTARD_WANDB"] == "online" and variables["BTARD_DASHBOARD"] == "0.0.0.0:8080"
    (mount,) = [mount for mount in inside["volumeMounts"] if mount["name"] == "dashboard-token"]
    assert variables["BTARD_DASHBOARD_TOKEN_FILE"] == f"{mount['mountPath']}/token" and mount["readOnly"]
    secret = {"secretName": "page", "items": [{"key": "token", "path": "token"}]}
    volumes = rendered.pods()["trial-btard-coordinator"]["spec"]["volumes"]
    assert {"name": "dashboard-token", "secret": secret} in volumes
    scrape = {"secretName": "scrape", "items": [{"key": "word", "path": "token"}]}
    for pod in rendered.pods().values():
        assert {"name": "metrics-token", "secret": scrape} in pod["spec"]["volumes"]
        (mount,) = [mount for mount in container(pod)["volumeMounts"] if mount["name"] == "metrics-token"]
        assert environment(container(pod))["BTARD_METRICS_TOKEN_FILE"] == f"{mount['mountPath']}/token"
    assert not rendered.kinds("Secret"), "the chart makes none, so no release holds any"
    for one in (inside, *rendered.peers().values()):
        assert not [name for name in environment(one) if re.search(r"KEY$|PASSWORD|SECRET", name)]
    for one in rendered.peers().values():
        assert set(references(one)) <= {"BTARD_THREADS"}, "peers need no secret"


def test_the_dashboard_has_a_service_of_its_own() -> None:
    rendered = render(CASES["all"])
    assert rendered.named("Service", "trial-btard-dashboard")["spec"]["type"] == "ClusterIP"
    ports = rendered.named("Service", "trial-btard-coordinator")["spec"]["ports"]
    assert [port["name"] for port in ports] == ["dht"]
    assert not [service for service in render().kinds("Service") if "dashboard" in service["metadata"]["name"]]


def test_a_release_that_is_named_after_the_chart_or_very_long() -> None:
    name = "a-release-with-the-longest-name-that-helm-takes-here"
    group = {"name": "sixteen-letters0", "replicas": 1, "environment": {"ATTACK_TYPE": "FLOOD"}}
    for document in render({"attackers": [group]}, release=name).documents:
        kubernetes_validate.validate(document, "1.37", strict=True)
        # Kubernetes adds -0123456789 to the label of a StatefulSet's revision, and labels have at most 63 characters.
        assert len(document["metadata"]["name"]) <= 52
    assert set(render(release="btard").pods()) == {"btard-coordinator", "btard-peer"}


def test_the_chart_has_the_programs_version() -> None:
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == btard.__version__
