"""Whatever a stranger's manifest says, no file is opened, no module imported and nobody called that it names."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest

from btard.errors import UserError
from btard.identity import Malformed
from btard.peer.meeting.joining import load_run_task
from btard.peer.settings import PeerSettings
from btard.swarm.manifest import RunManifest
from btard.tasks.registry import TASKS
from tests.peer.helpers import KEYS, run_manifest, signed_manifest
from tests.quick import quick
from tests.watch import Touched, watching

COMMIT = "0123456789abcdef0123456789abcdef01234567"
WORDS = '{"text": "of this machine alone"}\n' * 400
BY_LIBRARIES = (Path("/dev"), Path("/proc/meminfo"), Path("/proc/sys/kernel/random/boot_id"))
"""Nothing of its owner's."""

BODY = json.loads(run_manifest(task="gpt").model_dump_json())


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A peer's working directory with what it must not read, and a Hub that does not answer."""
    folder = tmp_path / "machine"
    for name in (
        "secret.txt",
        "owner/name/train.jsonl",
        "owner/name/name.py",
        "tokenizer.json",
        "evil_task.py",
        "evil",
    ):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(WORDS)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    # All of sys.path is searched for installed packages once, whatever a manifest says.
    assert TASKS.names()
    return folder


def fed(machine: Path, cache: Path, body: bytes, **own: Any) -> Touched:
    """Let a peer take a manifest as it takes one from the network, and load what it names."""
    settings = PeerSettings(initial_peers=["localhost:1"], cache_dir=cache, **own)
    canaries = [file for file in machine.rglob("*") if file.is_file()]
    # Not /etc/passwd: the kernel does not tell which process has opened it, and all do. Python's own opening is seen.
    with watching(canaries) as touched:
        try:
            load_run_task(settings, RunManifest.from_envelope(signed_manifest(KEYS[0], body)))
        except (Malformed, UserError) as refusal:
            assert "\n" not in str(refusal) and len(str(refusal)) < 1000
        else:
            pytest.fail("it was taken")
    return touched


def changed(**fields: Any) -> bytes:
    return json.dumps(BODY | fields).encode()


HOSTILE: list[dict[str, Any]] = [
    *({"data": {"kind": kind, "location": place}} for kind in ("text", "saved", "tables", "hub", "builtin", "own")
      for place in ("/etc/passwd", "secret.txt", ".", "owner/name", "http://127.0.0.1:9/x", "/proc/self/environ")),
    {"data": {"kind": "builtin", "tokenizer": "tokenizer.json"}},
    {"data": {"kind": "own"}},
    {"data": {"kind": "builtin", "own_tokenizer": True}},
    {"data": {"kind": "hub", "name": "owner/name", "revision": COMMIT}},
    {"data": {"kind": "hub", "name": "owner/name", "configuration": "..", "revision": COMMIT}},
    {"data": {"kind": "hub", "name": "../machine", "revision": COMMIT}},
    {"data": {"kind": "hub", "name": "./owner", "revision": COMMIT}},
    {"data": {"kind": "hub", "name": "owner/name", "revision": "../../secret.txt"}},
    {"data": {"kind": "hub", "name": "owner/name", "revision": COMMIT, "trust_remote_code": True}},
    *({"task": task} for task in ("evil_task", "evil", "btard.tasks.gpt", "os", "../evil_task", "evil_task:Task", "")),
    *({"task_settings": settings} for settings in (
        {"width": 8}, {"location": "secret.txt"}, {"settings": "/etc/passwd"}, {"class": "evil_task:Task"},
        {"late_imports": "evil_task"}, {"data": "owner/name"}, {"size": 1}, {f"a{i}": 1 for i in range(2000)})),
    *({"size": size} for size in ("evil_task", "../../tiny", "tiny\x1b[2J", "")),
    {"batch_size": 2**20},
    {"dimension": 2**39},
    {"experiment": "\x1b]0;owned\x07"},
    {"experiment": "a\nERROR step 5: banned"},
    {"warmup_steps": 20},
    {"checkpoint_at": list(range(2000))},
]  # fmt: skip


@pytest.mark.parametrize("fields", quick(24, HOSTILE), ids=str)
def test_nothing_that_it_names_is_touched(machine: Path, tmp_path: Path, fields: dict[str, Any]) -> None:
    touched = fed(machine, tmp_path / "cache", changed(**fields))
    assert touched.canaries == []
    assert touched.outside(tmp_path / "cache", *BY_LIBRARIES) == []
    assert not [name for name in touched.imported if "evil" in name or name == "name"]
    assert touched.ran == [] and touched.connected == []
    cache = tmp_path / "cache"
    assert not [file for file in cache.rglob("*") if file.is_file()], "something was tokenised before it was refused"


def test_the_owners_own_words_are_obeyed(machine: Path, tmp_path: Path) -> None:
    own = changed(data={"kind": "own"})
    touched = fed(machine, tmp_path / "cache", own, data=str(machine / "secret.txt"))
    assert touched.canaries == [str(machine / "secret.txt")], "the watch sees what is read"
