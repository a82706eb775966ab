"""A container engine that remembers what it makes, so that all of it can be removed."""

from __future__ import annotations

import json
import os
import resource
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

DEBIAN = "bookworm"
PACKAGES = "python3,python3-venv,ca-certificates"

_POLL = 1.0


class Failed(Exception):
    """A step of the trial failed; the message says which and how."""


class Absent(Failed):
    """This machine lacks what a trial needs; the message says what."""


def _limits() -> dict[str, int]:
    """The most that a container may have here: podman asks for more, and cannot get it where it is confined itself."""
    found: dict[str, int] = {}
    for word, number in (("nofile", resource.RLIMIT_NOFILE), ("nproc", resource.RLIMIT_NPROC)):
        hard = resource.getrlimit(number)[1]
        if hard != resource.RLIM_INFINITY:
            found[word] = hard
    if "nproc" in found:
        # podman has lowered its own limit to this before it starts a build, and cannot raise it again.
        found["nproc"] = min(found["nproc"], int(Path("/proc/sys/kernel/pid_max").read_text()))
    return found


def until(what: str, seconds: float, condition: Callable[[], Any]) -> Any:
    """Return what `condition` returns as soon as it is true.

    Raises:
        Failed: it was not within this time.
    """
    began = time.monotonic()
    while True:
        found = condition()
        if found:
            print(f"{time.monotonic() - began:6.1f} s  {what}", flush=True)
            return found
        if time.monotonic() - began > seconds:
            raise Failed(f"not within {seconds:g} s: {what}")
        time.sleep(_POLL)


class Engine:
    """docker, or podman with a storage of its own; `close` removes every container, image and file that was made."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.token = secrets.token_hex(4)
        self.directory = Path(tempfile.mkdtemp(prefix="btard-images-"))
        self._made: list[str] = []
        self.environment = {**os.environ, "ENGINE": name, "TAG": self.token}
        if name == "podman":
            self._configure_podman()

    @classmethod
    def find(cls) -> Engine:
        """Return docker or podman, whichever works; raises Absent."""
        for name in os.environ.get("ENGINE", "docker podman").split():
            if shutil.which(name) and subprocess.run([name, "info"], capture_output=True).returncode == 0:
                return cls(name)
        raise Absent("neither docker nor podman works here")

    def _configure_podman(self) -> None:
        """Its own storage, no more than this machine's limits, and what works without systemd."""
        limits = [f'"{word}={most}:{most}"' for word, most in _limits().items()]
        runtime = 'runtime = "runc"\n' if shutil.which("runc") else ""
        manager = (
            "" if Path("/run/systemd/system").exists() else 'cgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
        )
        conf, storage = self.directory / "containers.conf", self.directory / "storage.conf"
        conf.write_text(f"[containers]\ndefault_ulimits = [{', '.join(limits)}]\n[engine]\n{runtime}{manager}")
        storage.write_text(
            f'[storage]\ndriver = "overlay"\ngraphroot = "{self.directory}/storage"\nrunroot = "{self.directory}/run"\n'
        )
        self.environment |= {
            "CONTAINERS_CONF": str(conf),
            "CONTAINERS_STORAGE_CONF": str(storage),
            "BUILDAH_ISOLATION": "chroot",
        }

    def call(self, *words: str, check: bool = True) -> str:
        """Run a command of the engine and return what it printed; raises Failed."""
        result = subprocess.run(
            [self.name, *words], capture_output=True, text=True, env=self.environment, timeout=300, check=False
        )
        if check and result.returncode != 0:
            raise Failed(f"{self.name} {' '.join(words)}: {result.stderr.strip()[-1000:]}")
        return result.stdout.strip()

    def make_base(self) -> str:
        """Return a base image: BASE of the environment, or a Debian that mmdebstrap makes; raises Absent, Failed."""
        given = os.environ.get("BASE")
        if given:
            return given
        if os.geteuid() != 0 or not shutil.which("mmdebstrap"):
            raise Absent(
                "a base image needs mmdebstrap and root; or name one that can be pulled: BASE=python:3.11-slim-bookworm"
            )
        prefix = "localhost/" if self.name == "podman" else ""
        image, tree = f"{prefix}btard-test-base:{self.token}", self.directory / "base.tar"
        words = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", DEBIAN, str(tree)]
        result = subprocess.run(words, capture_output=True, text=True)
        if result.returncode != 0:
            raise Failed(f"mmdebstrap: {result.stderr[-1000:]}")
        self.call("import", str(tree), image)
        tree.unlink()
        return image

    def build(self, base: str, *names: str) -> str:
        """Build these images, or all, by docker/build.sh; return what it says of their sizes; raises Failed."""
        flags = "--network host" + (" --pull=never" if self.name == "podman" and base.startswith("localhost/") else "")
        if self.name == "podman" and len(names) == 1:
            flags += " --layers=false"  # no other image will ask for the stages in between
        log = self.directory / "build.log"
        with log.open("w") as output:
            result = subprocess.run(
                [ROOT / "docker" / "build.sh", *names],
                cwd=ROOT,
                env={**self.environment, "BASE": base, "BUILD_FLAGS": f"{flags} {os.environ.get('BUILD_FLAGS', '')}"},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        lines = log.read_text(errors="replace").splitlines()
        if result.returncode != 0:
            raise Failed("\n".join(["docker/build.sh:", *lines[-30:]]))
        return "\n".join(line for line in lines if line.startswith("btard-"))

    def image(self, program: str) -> str:
        """Return the name of the image of a program."""
        return f"{'localhost/' if self.name == 'podman' else ''}{program}:{self.token}"

    def run(self, name: str, program: str, *words: str, network: str, environment: dict[str, str]) -> Container:
        """Start a container from a program's image, as little allowed as can be: no capabilities, a read-only root."""
        flags = [word for key, value in environment.items() for word in ("--env", f"{key}={value}")]
        confined = ["--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
        never = ["--pull", "never", "--network", network]
        full = f"btard-{name}-{self.token}"
        self._made.append(full)
        self.call("run", "--detach", "--name", full, *never, *confined, *flags, self.image(program), *words)
        return Container(self, full)

    def close(self) -> None:
        """Remove everything; what cannot be removed is told."""
        # The newest first: the others' network is the first one's.
        for name in reversed(self._made):
            self.call("rm", "--force", "--volumes", name, check=False)
        if self.name == "podman":
            # All of its storage goes; the overlay driver keeps that mounted.
            subprocess.run(["umount", str(self.directory / "storage" / "overlay")], capture_output=True)
        else:
            images = [self.image(program) for program in ("btard-peer", "btard-coordinator", "btard-test-base")]
            self.call("rmi", "--force", *images, check=False)
        shutil.rmtree(self.directory, ignore_errors=True)
        if self.directory.exists():
            print(f"could not remove all of {self.directory}", flush=True)


class Container:
    """A container that was started."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self.name = name

    def state(self) -> dict[str, Any]:
        """Return what the engine says of it."""
        found: dict[str, Any] = json.loads(self._engine.call("inspect", self.name))[0]["State"]
        return found

    def running(self) -> bool:
        """Whether it runs."""
        return bool(self.state()["Running"])

    def exit_code(self) -> int | None:
        """Return its exit code, None while it runs."""
        state = self.state()
        return None if state["Running"] or state["Status"] in ("created", "stopping") else int(state["ExitCode"])

    def try_inside(self, *words: str) -> str | None:
        """Run a command inside; return what it printed, None when it failed."""
        result = subprocess.run(
            [self._engine.name, "exec", self.name, *words],
            capture_output=True,
            text=True,
            env=self._engine.environment,
            timeout=60,
            check=False,
        )
        return result.stdout if result.returncode == 0 else None

    def healthy(self) -> bool:
        """Run the image's health check; not the engine's own way, which waits for intervals or needs systemd."""
        return self.try_inside("python", "-m", "btard.cli.health") is not None

    def lines(self, file: str) -> list[dict[str, Any]]:
        """Return the JSON lines of a file in its run directory."""
        text = self.try_inside("cat", f"/data/{file}") or ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def terminate(self) -> None:
        """Send SIGTERM, as `docker stop` does."""
        self._engine.call("kill", "--signal", "TERM", self.name, check=False)

    def log(self) -> str:
        """Return what it printed."""
        result = subprocess.run(
            [self._engine.name, "logs", self.name],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self._engine.environment,
            check=False,
        )
        return result.stdout
