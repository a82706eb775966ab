"""Looking at this machine, without judging."""

from __future__ import annotations

import importlib.resources
import os
import platform
import resource
import shutil
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from btard.peer.doctor.check_machine import (
    BinaryFacts,
    DirectoryFacts,
    LimitFacts,
    MemoryFacts,
    NumericsFacts,
    ToleranceFacts,
)
from btard.swarm.manifest import RunManifest
from btard.vocabulary import Device

_HEAD = 64


def p2pd_path() -> Path:
    """Return where hivemind's wheel puts p2pd."""
    return Path(str(importlib.resources.files("hivemind") / "hivemind_cli" / "p2pd"))


def probe_binary(path: Path) -> BinaryFacts:
    """Return what kind of program a file is."""
    try:
        with path.open("rb") as file:
            head: bytes | None = file.read(_HEAD)
    except OSError:
        head = None
    return BinaryFacts(
        path=path,
        exists=path.is_file(),
        executable=os.access(path, os.X_OK),
        head=head,
        system=platform.system(),
        machine=platform.machine(),
    )


def probe_directory(path: Path) -> DirectoryFacts:
    """Return whether a directory can be written, leaving no trace: of one that is missing, its nearest parent tells."""
    there = path.absolute()
    while not there.exists():
        there = there.parent
    error = ""
    try:
        if not there.is_dir():
            raise NotADirectoryError(0, f"{there} is no directory")
        trial = there / f".btard-doctor.{os.getpid()}"
        trial.write_bytes(b"x")
        trial.unlink()
    except OSError as problem:
        error = problem.strerror or str(problem)
    return DirectoryFacts(path, error, shutil.disk_usage(there).free)


def probe_limits() -> LimitFacts:
    """Return the limits of this process, and how many threads its user runs."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    processes, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    return LimitFacts(
        files=None if files == resource.RLIM_INFINITY else files,
        # The kernel does not hold the limit against root.
        processes=None if processes == resource.RLIM_INFINITY or os.geteuid() == 0 else processes,
        running=_threads_of(os.getuid()),
    )


def _threads_of(user: int) -> int:
    count = 0
    for process in psutil.process_iter():
        try:
            if process.uids().real == user:
                count += process.num_threads()
        except psutil.Error:
            continue
    return count


def probe_memory(manifest: RunManifest | None) -> MemoryFacts:
    """Return the memory that is available, and what the run's model asks for; a container's limit counts."""
    available = int(psutil.virtual_memory().available)
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        try:
            available = min(available, int(Path(limit).read_text()) - int(Path(used).read_text()))
        except (OSError, ValueError):
            continue  # no such hierarchy, or the word "max"
    return MemoryFacts(max(0, available), manifest.dimension if manifest is not None else None)


def probe_numerics(device: Device, precision: str) -> NumericsFacts:
    """Return what torch says of itself and its devices."""
    gpu = any(Path(path).exists() for path in ("/dev/nvidia0", "/dev/nvidiactl", "/proc/driver/nvidia/version"))
    try:
        import torch

        from btard.swarm.calibration import numerics
        from btard.vocabulary import Precision
    except Exception as error:  # a broken wheel raises whatever its libraries raise
        return NumericsFacts("", f"{type(error).__name__}: {error}"[:200], None, False, gpu, device.value, "")
    usable = torch.cuda.is_available()
    chosen = torch.device("cuda" if usable and device is not Device.CPU else "cpu")
    return NumericsFacts(
        torch=torch.__version__,
        torch_error="",
        cuda=torch.version.cuda,
        usable=usable,
        gpu=gpu,
        device=device.value,
        numerics=numerics(chosen, Precision(precision)),
    )


def probe_tolerance(path: Path, here: str, manifest: RunManifest | None) -> ToleranceFacts:
    """Return what `btard calibrate` has left in a file."""
    from pydantic import ValidationError

    from btard.swarm.tolerance import Tolerance
    from btard.vocabulary import Validation

    facts = ToleranceFacts(path, None, here)
    if manifest is not None:
        task = f"{manifest.chosen_task} {manifest.size}"
        exact = manifest.validation is Validation.EXACT
        facts = ToleranceFacts(path, None, here, run_task=task, convict=manifest.convict, exact=exact)
    fields = vars(facts)
    try:
        measured = Tolerance.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return facts
    except OSError as error:
        return ToleranceFacts(**{**fields, "problem": error.strerror or str(error)})
    except ValidationError as error:
        return ToleranceFacts(**{**fields, "problem": error.errors()[0]["msg"]})
    found = {
        "problem": "",
        "task": f"{measured.task} {measured.size}",
        "numerics": measured.numerics,
        "worst": measured.worst,
    }
    return ToleranceFacts(**{**fields, **found})
