"""Values that helm refuses, in a sentence that names the place; and what it keeps of a run that goes on."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from btard.deploy.kubernetes.schema import SCHEMA, with_settings
from tests.deploy.kubernetes.helm import Rendered, environment, refusal, render


def attackers(*groups: dict[str, Any]) -> dict[str, Any]:
    return {"attackers": list(groups)}


LIAR: dict[str, Any] = {"name": "liars", "replicas": 1, "environment": {"ATTACK_TYPE": "SIGN_FLIPPING"}}


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"peer": {}}, "'peer' not allowed"),
        ({"settings": {"total_stepz": 5}}, "at '/settings': additional properties 'total_stepz' not allowed"),
        ({"settings": {"peers": 300}}, "at '/settings/peers': maximum: got 300, want 256"),
        ({"settings": {"tau": "small"}}, "at '/settings/tau': got string, want number"),
        ({"settings": {"wire": "int8"}}, "at '/settings/wire': value must be one of 'float32', 'float16', 'bfloat16'"),
        ({"settings": {"rule": 5}}, "at '/settings/rule': got number, want string"),
        ({"settings": {"directory": "/x"}}, "'directory' not allowed"),
        ({"settings": {"seed": 2**60}}, "at '/settings/seed': maximum"),
        ({"peerSettings": {"attack_type": "ALIE"}}, "'attack_type' not allowed"),
        ({"peers": {"replicas": -1}}, "at '/peers/replicas': minimum: got -1, want 0"),
        ({"peers": {"gpus": 0.5}}, "at '/peers/gpus': got number, want integer"),
        ({"peers": {"storage": {"size": "much"}}}, "at '/peers/storage/size'"),
        (attackers(LIAR | {"environment": {}}), "missing property 'ATTACK_TYPE'"),
        (attackers(LIAR | {"environment": LIAR["environment"] | {"CHECK_PROBA": 2}}), "maximum: got 2, want 1"),
        (attackers(LIAR | {"environment": LIAR["environment"] | {"WANDB_API_KEY": "x"}}), "not allowed"),
        (attackers(LIAR | {"name": "Big Liars"}), "at '/attackers/0/name'"),
        (attackers(LIAR, LIAR), "two groups of attackers have the name liars"),
        ({"dashboard": {"enabled": True}}, "at '/dashboard/tokenSecret/name': minLength"),
        ({"metrics": {"enabled": True}}, "at '/metrics/tokenSecret/name': minLength"),
        ({"settings": {"metrics": "0.0.0.0:9108"}}, "'metrics' not allowed"),
        ({"dashboard": {"token": "abc"}}, "'token' not allowed"),
        ({"wandb": {"key": "abc"}}, "at '/wandb': additional properties 'key' not allowed"),
        ({"coordinator": {"replicas": 2}}, "at '/coordinator': additional properties 'replicas' not allowed"),
        ({"coordinator": {"service": {"type": "Ingress"}}}, "value must be one of 'ClusterIP'"),
        ({"peers": {"replicas": 0}}, "nobody would train"),
    ],
)
def test_bad_values_are_refused(values: dict[str, Any], sentence: str) -> None:
    assert sentence in refusal(values)


def test_the_schema_follows_the_settings() -> None:
    assert with_settings(SCHEMA.read_text(encoding="utf-8")) == SCHEMA.read_text(encoding="utf-8"), "run `btard docs`"
    kept = json.loads(SCHEMA.read_text())["$defs"]
    assert {"directory", "dht_port"}.isdisjoint(kept["runSettings"]["properties"])
    assert {"total_steps", "tau"} <= kept["runSettings"]["properties"].keys()
    assert "ATTACK_START" in kept["attack"]["properties"] and "attack_start" not in kept["peerSettings"]["properties"]


class Cluster:
    """As much of a cluster as helm asks for an object that a release has made before.

    Attributes:
        objects: by their path in the API.
    """

    def __init__(self) -> None:
        self.objects: dict[str, Any] = {
            "/version": {"major": "1", "minor": "35", "gitVersion": "v1.35.0"},
            "/api": {"kind": "APIVersions", "versions": ["v1"]},
            "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group("apps")]},
            "/api/v1": _resources("v1", "services", "Service"),
            "/apis/apps/v1": _resources("apps/v1", "statefulsets", "StatefulSet"),
        }
        cluster = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = cluster.objects.get(self.path.partition("?")[0])
                failure = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
                data = json.dumps(found or failure).encode()
                self.send_response(200 if found else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def hold(self, rendered: Rendered) -> None:
        """Hold the StatefulSets of an installation."""
        for document in rendered.kinds("StatefulSet"):
            self.objects[f"/apis/apps/v1/namespaces/default/statefulsets/{document['metadata']['name']}"] = document

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


def _group(name: str) -> dict[str, Any]:
    version = {"groupVersion": f"{name}/v1", "version": "v1"}
    return {"name": name, "versions": [version], "preferredVersion": version}


def _resources(group: str, plural: str, kind: str) -> dict[str, Any]:
    resource = {"name": plural, "singularName": "", "namespaced": True, "kind": kind, "verbs": ["get", "list"]}
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group, "resources": [resource]}


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    found = Cluster()
    yield found
    found.close()


def test_more_peers_leave_the_run_as_it_is(cluster: Cluster) -> None:
    """The coordinator refuses to go on with a run under another number, so an upgrade must not give it one."""
    words = ["--dry-run=server", "--kube-apiserver", cluster.url, "--disable-openapi-validation"]
    first = render({}, *words)
    assert environment(first.coordinator())["BTARD_PEERS"] == "5"
    cluster.hold(first)
    second = render({"peers": {"replicas": 9}} | attackers(LIAR), *words, "--is-upgrade")
    assert second.named("StatefulSet", "trial-btard-peer")["spec"]["replicas"] == 9
    assert second.coordinator() == first.coordinator(), "it would be started again for nothing"
    told = render({"settings": {"peers": 6}}, *words, "--is-upgrade")
    assert environment(told.coordinator())["BTARD_PEERS"] == "6"
    none = render({"peers": {"replicas": 0}}, *words, "--is-upgrade")
    assert none.named("StatefulSet", "trial-btard-peer")["spec"]["replicas"] == 0, "a run may be paused"
