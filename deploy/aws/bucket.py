"""The bucket that the machines of a run put their files into: EXPERIMENT/generation-N/MACHINE/..."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from btard.deploy.aws.cloud import Cloud
from btard.vocabulary import CHECKPOINT_FILE

_GENERATION = re.compile(r"/generation-(\d+)/")


def next_generation(cloud: Cloud, bucket: str) -> int:
    """Return the number of a fleet that is started anew: the files of an earlier one must not be gone on with.

    A coordinator that finds files goes on with their run and follows its members, which are gone with their machines.

    Raises:
        CloudError: there is no such bucket, or it may not be listed.
    """
    with cloud.doing(f"look for earlier runs in the bucket {bucket}"):
        pages = (
            cloud.client("s3")
            .get_paginator("list_objects_v2")
            .paginate(Bucket=bucket, Prefix=f"{cloud.experiment}/generation-", Delimiter="/")
        )
        found = [_generation(thing["Prefix"]) for page in pages for thing in page.get("CommonPrefixes", [])]
    return max(found, default=-1) + 1


def find_checkpoint(cloud: Cloud, bucket: str, run: str, step: int) -> str | None:
    """Return the s3:// folder of the newest checkpoint that the coordinator of a run has saved before a step."""
    end = f"/coordinator/checkpoints/step-{step:06d}/{CHECKPOINT_FILE}"
    with cloud.doing(f"look for the checkpoint of step {step} in the bucket {bucket}"):
        pages = cloud.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{run}/generation-")
        found = [thing["Key"] for page in pages for thing in page.get("Contents", []) if thing["Key"].endswith(end)]
    if not found:
        return None
    return f"s3://{bucket}/{max(found, key=_generation).removesuffix(f'/{CHECKPOINT_FILE}')}"


def _generation(key: str) -> int:
    match = _GENERATION.search(key)
    return int(match[1]) if match else -1


class BucketFiles:
    """Copies what the machines of a run have put into the bucket.

    Args:
        cloud: the account; its experiment is the run.
        bucket: the bucket.
        directory: where the copies go.
    """

    def __init__(self, cloud: Cloud, bucket: str, directory: Path) -> None:
        self._cloud = cloud
        self._client = cloud.client("s3")
        self._bucket = bucket
        self._directory = directory
        self._seen: dict[str, str] = {}

    def fetch(self, generation: int) -> None:
        """Copy what is new or has changed; keys and locks stay where they are.

        Raises:
            CloudError: the bucket cannot be read.
        """
        prefix = f"{self._cloud.experiment}/generation-{generation}/"
        with self._cloud.doing(f"read the run's files in the bucket {self._bucket}"):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
            for thing in (thing for page in pages for thing in page.get("Contents", [])):
                key, tag = thing["Key"], thing["ETag"]
                name = key.removeprefix(prefix)
                if self._seen.get(key) == tag or ".." in name.split("/") or "identity.key" in name:
                    continue
                target = self._directory / name
                target.parent.mkdir(parents=True, exist_ok=True)
                self._client.download_file(self._bucket, key, str(target))
                self._seen[key] = tag

    def has_checkpoint(self, step: int) -> bool:
        """Whether a checkpoint of the coordinator is here; machines send its small record before the state it names."""
        folder = self._directory / "coordinator" / "checkpoints" / f"step-{step:06d}"
        try:
            record: Any = json.loads((folder / CHECKPOINT_FILE).read_bytes())
            return (folder / str(record["state_file"])).exists()
        except (OSError, ValueError, KeyError, TypeError):
            return False
