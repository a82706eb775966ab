"""helm as a process: what it renders, refuses and thinks of the chart."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from btard.deploy.kubernetes.schema import CHART
from tests.deploy.standins import ROOT

RELEASE = "trial"

Document = dict[str, Any]


@functools.cache
def helm() -> str:
    """Return the path of helm; the test is skipped where there is none."""
    for candidate in (str(ROOT / ".tools" / "helm"), shutil.which("helm")):
        if candidate and Path(candidate).exists():
            return candidate
    pytest.skip("there is no helm here: `make helm` fetches it")


@functools.cache
def call(*words: str, values: str = "") -> subprocess.CompletedProcess[str]:
    """Run helm without anybody's cluster or configuration; the values are YAML, for `--values -`."""
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "KUBECONFIG": os.devnull}
    return subprocess.run([helm(), *words], input=values, capture_output=True, text=True, env=environment, check=False)


def render(values: Document | None = None, *words: str, release: str = RELEASE) -> Rendered:
    """Return the chart's documents with these values."""
    result = call("template", release, str(CHART), "--values", "-", *words, values=yaml.safe_dump(values or {}))
    assert result.returncode == 0, result.stderr
    return Rendered([document for document in yaml.safe_load_all(result.stdout) if document])


def refusal(values: Document) -> str:
    """Return what helm says to values that it must refuse."""
    result = call("template", RELEASE, str(CHART), "--values", "-", values=yaml.safe_dump(values))
    assert result.returncode != 0, "these values were taken"
    return result.stderr


@dataclass(frozen=True)
class Rendered:
    """What would be sent to the cluster."""

    documents: list[Document]

    def named(self, kind: str, name: str) -> Document:
        """Return the one document of this kind with this name."""
        (found,) = [d for d in self.documents if d["kind"] == kind and d["metadata"]["name"] == name]
        return found

    def kinds(self, kind: str) -> list[Document]:
        """Return all documents of a kind."""
        return [document for document in self.documents if document["kind"] == kind]

    def pods(self) -> dict[str, Document]:
        """Return the pod templates by the name of what makes the pods."""
        return {d["metadata"]["name"]: d["spec"]["template"] for d in self.documents if "template" in d.get("spec", {})}

    def coordinator(self) -> Document:
        """Return the coordinator's container."""
        return container(self.pods()[f"{RELEASE}-btard-coordinator"])

    def peers(self) -> dict[str, Document]:
        """Return the containers of the groups of peers, by the name of the group."""
        prefix = f"{RELEASE}-btard-"
        return {
            name.removeprefix(prefix): container(pod)
            for name, pod in self.pods().items()
            if not name.endswith("-coordinator")
        }


def container(pod: Document) -> Document:
    """Return the only container of a pod."""
    (found,) = pod["spec"]["containers"]
    return dict(found)


def environment(of: Document) -> dict[str, str]:
    """Return the variables of a container that have their values in the document."""
    return {entry["name"]: entry["value"] for entry in of["env"] if "value" in entry}


def references(of: Document) -> dict[str, Document]:
    """Return the variables of a container that come from elsewhere."""
    return {entry["name"]: entry["valueFrom"] for entry in of["env"] if "valueFrom" in entry}
