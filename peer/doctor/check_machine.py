"""Judging this machine: p2pd, directory, limits, memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from btard.peer.doctor.finding import CheckResult, failed, ok, untested

LEAST_DISK = 1 << 30
"""Bytes for logs, evidence and cached data."""

LEAST_FILES = 1024
"""Open files: sockets to some hundred peers, in p2pd and in Python."""

LEAST_PROCESSES = 64
"""Threads that must still be possible: torch's, p2pd's, Python's."""

BASE_MEMORY = 800 << 20
"""Bytes of torch, hivemind and p2pd before any model."""

_COPIES = 12
"""Vectors of the model's size: parameters now and before, moments, gradients, rows of the own part, buffers."""

_ELF, _MACH, _FAT = b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe"
_ELF_MACHINES = {0x03: "i386", 0x28: "arm", 0x3E: "x86_64", 0xB7: "aarch64", 0xF3: "riscv64", 0x15: "ppc64le"}
_MACH_MACHINES = {0x01000007: "x86_64", 0x0100000C: "aarch64"}
_SAME = {"amd64": "x86_64", "arm64": "aarch64"}


@dataclass(frozen=True)
class BinaryFacts:
    """A program file: its first bytes, None when it cannot be read, and the machine that should run it."""

    path: Path
    exists: bool
    executable: bool
    head: bytes | None
    system: str
    machine: str


def check_p2pd(facts: BinaryFacts) -> CheckResult:
    """Whether p2pd is there and made for this machine."""
    name, reinstall = "p2pd", "reinstall hivemind for this machine"
    if not facts.exists:
        return failed(name, f"p2pd is missing at {facts.path}; {reinstall}")
    if not facts.executable:
        return failed(name, f"p2pd at {facts.path} is not executable; run: chmod +x {facts.path}")
    if facts.head is None:
        return failed(name, f"p2pd at {facts.path} cannot be read; {reinstall}")
    system, machine = made_for(facts.head)
    wanted = _SAME.get(facts.machine.lower(), facts.machine.lower())
    if system is None:
        return failed(name, f"p2pd at {facts.path} is no program of any known kind; {reinstall}")
    if system != facts.system or wanted not in machine:
        kinds = " or ".join(sorted(machine)) or "an unknown processor"
        return failed(
            name, f"p2pd at {facts.path} is made for {system} {kinds}, this is {facts.system} {wanted}; {reinstall}"
        )
    return ok(name, f"p2pd is executable and made for {facts.system} {wanted}")


def made_for(head: bytes) -> tuple[str | None, frozenset[str]]:
    """Return the system (as `platform.system` says it) and the processors of a program, from its first 64 bytes."""
    if head.startswith(_ELF) and len(head) >= 20:
        order = "big" if head[5] == 2 else "little"
        number = int.from_bytes(head[18:20], order)  # type: ignore[arg-type]
        return "Linux", frozenset({_ELF_MACHINES[number]} if number in _ELF_MACHINES else ())
    if head.startswith(_MACH) and len(head) >= 8:
        number = int.from_bytes(head[4:8], "little")
        return "Darwin", frozenset({_MACH_MACHINES[number]} if number in _MACH_MACHINES else ())
    if head.startswith(_FAT):
        return "Darwin", frozenset(_MACH_MACHINES.values())
    return None, frozenset()


@dataclass(frozen=True)
class DirectoryFacts:
    """A directory: why it cannot be written, empty if it can, and the free bytes there."""

    path: Path
    error: str
    free: int


def check_directory(facts: DirectoryFacts) -> CheckResult:
    """Whether a peer can write there, and enough."""
    if facts.error:
        return failed("directory", f"{facts.path} cannot be written: {facts.error}; give a writable --directory")
    if facts.free < LEAST_DISK:
        return failed(
            "directory",
            f"the disk of {facts.path} has only {_size(facts.free)} left; free at least {_size(LEAST_DISK)}",
        )
    return ok("directory", f"{facts.path} is writable, {_size(facts.free)} are free")


@dataclass(frozen=True)
class LimitFacts:
    """Limits of this process: open files, and threads of this user with those that run; None for no limit."""

    files: int | None
    processes: int | None
    running: int


def check_limits(facts: LimitFacts) -> CheckResult:
    """Whether the limits leave room for a peer."""
    if facts.files is not None and facts.files < LEAST_FILES:
        return failed("limits", f"only {facts.files} files may be open here; run: ulimit -n {LEAST_FILES} (or more)")
    if facts.processes is not None and facts.processes - facts.running < LEAST_PROCESSES:
        return failed(
            "limits",
            f"this user may run {facts.processes} threads and runs {facts.running}; raise ulimit -u by some hundred",
        )
    files = "any number of" if facts.files is None else str(facts.files)
    return ok("limits", f"{files} files may be open, and threads are left")


@dataclass(frozen=True)
class MemoryFacts:
    """Bytes that programs can still take, and the numbers in the run's model, None if no run is known."""

    available: int
    dimension: int | None


def check_memory(facts: MemoryFacts) -> CheckResult:
    """Whether a peer of the run fits into memory; an estimate."""
    needed = needed_memory(facts.dimension or 0)
    about = f"a peer of this run needs about {_size(needed)}"
    if facts.dimension is None:
        about = f"a peer needs about {_size(needed)} and {4 * _COPIES} bytes for each number of the model"
    if facts.available < needed:
        return failed("memory", f"{_size(facts.available)} of memory are available, but {about}")
    return ok("memory", f"{_size(facts.available)} of memory are available; {about}")


def needed_memory(dimension: int) -> int:
    """Return about how many bytes a peer takes for a model of `dimension` numbers."""
    return BASE_MEMORY + 4 * _COPIES * dimension


@dataclass(frozen=True)
class NumericsFacts:
    """Where gradients are computed.

    Attributes:
        torch: version, empty if it cannot be imported, for the reason `torch_error`.
        cuda: version of CUDA that torch was built with, None for none.
        usable: whether torch finds a CUDA device.
        gpu: whether the machine has an NVIDIA device, whatever torch says.
        device: what `--device` says: auto, cpu or cuda.
        numerics: what decides how numbers are rounded here.
    """

    torch: str
    torch_error: str
    cuda: str | None
    usable: bool
    gpu: bool
    device: str
    numerics: str


def check_device(facts: NumericsFacts) -> CheckResult:
    """Whether gradients can be computed where they should be."""
    if not facts.torch:
        return failed("device", f"torch cannot be imported ({facts.torch_error}); reinstall btard")
    if facts.device == "cuda" and facts.cuda is None:
        return failed("device", f"--device is cuda, but torch {facts.torch} is built without CUDA; install one with it")
    if facts.device == "cuda" and not facts.usable:
        return failed("device", "--device is cuda, but torch finds no CUDA device; check the driver with nvidia-smi")
    if facts.device == "auto" and facts.gpu and not facts.usable:
        built = f"is built for CUDA {facts.cuda}" if facts.cuda else "is built without CUDA"
        return failed(
            "device",
            f"this machine has an NVIDIA GPU, but torch {facts.torch} {built} and cannot use it; install a fitting "
            "torch and driver, or say --device cpu",
        )
    return ok("device", f"gradients are computed by {facts.numerics}")


@dataclass(frozen=True)
class ToleranceFacts:
    """What `btard calibrate` has measured here, next to the run's rules; None for what is not known.

    Attributes:
        path: of the file.
        problem: why it cannot be read, empty if it can; None when there is none.
        task, numerics, worst: what the file says.
        here: the numerics of this machine.
        run_task, convict, exact: the run's task and size, threshold, and whether it compares hashes.
    """

    path: Path
    problem: str | None
    here: str
    task: str = ""
    numerics: str = ""
    worst: float = 0.0
    run_task: str | None = None
    convict: float | None = None
    exact: bool = False


def check_tolerance(facts: ToleranceFacts) -> CheckResult:
    """Whether honest gradients of this machine are within what the run tolerates."""
    name, remedy = "tolerance", "run btard calibrate for the run's task here"
    if facts.problem is None:
        return untested(name, f"no tolerance has been measured here ({facts.path} is missing); {remedy}")
    if facts.problem:
        return failed(name, f"{facts.path} is no tolerance file ({facts.problem}); {remedy}")
    if facts.numerics != facts.here:
        return failed(
            name, f"{facts.path} was measured with {facts.numerics}, but here it is {facts.here} now; {remedy}"
        )
    if facts.run_task is None or facts.convict is None:
        return ok(name, f"honest gradients differ here by at most {facts.worst:.2g} of their length")
    if facts.task != facts.run_task:
        return untested(name, f"{facts.path} was measured for {facts.task}, the run trains {facts.run_task}; {remedy}")
    if facts.exact and facts.worst > 0:
        return failed(
            name, "the run compares gradients exactly, but honest ones are not bit-equal here; keep this machine out"
        )
    if facts.worst >= facts.convict:
        return failed(
            name,
            f"honest gradients differ here by up to {facts.worst:.2g}, and the run convicts beyond {facts.convict:.2g};"
            " this machine would be banned",
        )
    return ok(name, f"honest gradients differ here by at most {facts.worst:.2g}, below the run's {facts.convict:.2g}")


def _size(count: int) -> str:
    return f"{count / (1 << 30):.1f} GiB" if count >= 1 << 30 else f"{count / (1 << 20):.0f} MiB"
