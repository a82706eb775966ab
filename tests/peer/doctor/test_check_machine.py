"""Each way in which a machine can be unfit, as facts, and the sentence that says so."""

from __future__ import annotations

import os
import platform
from dataclasses import replace
from pathlib import Path

import pytest

from btard.peer.doctor.check_machine import (
    LEAST_DISK,
    BinaryFacts,
    DirectoryFacts,
    LimitFacts,
    MemoryFacts,
    NumericsFacts,
    ToleranceFacts,
    check_device,
    check_directory,
    check_limits,
    check_memory,
    check_p2pd,
    check_tolerance,
    made_for,
    needed_memory,
)
from btard.peer.doctor.finding import CheckOutcome
from btard.peer.doctor.probe_machine import (
    p2pd_path,
    probe_binary,
    probe_directory,
    probe_limits,
    probe_memory,
    probe_numerics,
    probe_tolerance,
)
from btard.swarm.tolerance import Tolerance
from btard.vocabulary import Device
from tests.peer.helpers import run_manifest


def elf(machine: int, *, big: bool = False) -> bytes:
    """The head of a Linux program for a processor."""
    head = bytearray(64)
    head[:7] = b"\x7fELF" + bytes([2, 2 if big else 1, 1])
    head[18:20] = machine.to_bytes(2, "big" if big else "little")
    return bytes(head)


def test_the_installed_p2pd_is_fine() -> None:
    assert check_p2pd(probe_binary(p2pd_path())).outcome is CheckOutcome.OK


@pytest.mark.parametrize(
    ("head", "mode", "words"),
    [
        (None, 0o755, "p2pd is missing at"),
        (elf(0x3E), 0o644, "not executable; run: chmod +x"),
        (elf(0xF3), 0o755, "made for Linux riscv64, this is"),
        (elf(0x15, big=True), 0o755, "made for Linux ppc64le"),
        (elf(0x1234), 0o755, "made for Linux an unknown processor"),
        (b"\xcf\xfa\xed\xfe\x0c\x00\x00\x01" + bytes(56), 0o755, "made for Darwin aarch64"),
        (b"#!/bin/sh\n", 0o755, "is no program of any known kind"),
        (b"", 0o755, "is no program of any known kind"),
    ],
)
def test_a_p2pd_that_cannot_run(tmp_path: Path, head: bytes | None, mode: int, words: str) -> None:
    file = tmp_path / "p2pd"
    if head is not None:
        file.write_bytes(head)
        file.chmod(mode)
    facts = replace(probe_binary(file), system="Linux", machine="x86_64")
    finding = check_p2pd(facts)
    assert finding.outcome is CheckOutcome.FAILED and words in finding.sentence and str(file) in finding.sentence


def test_a_p2pd_that_cannot_be_read() -> None:
    facts = BinaryFacts(Path("/x/p2pd"), True, True, None, "Linux", "x86_64")
    assert "cannot be read" in check_p2pd(facts).sentence


def test_names_of_one_processor_are_the_same() -> None:
    facts = BinaryFacts(Path("/x/p2pd"), True, True, elf(0xB7), "Linux", "arm64")
    assert check_p2pd(facts).outcome is CheckOutcome.OK
    assert made_for(b"\xca\xfe\xba\xbe") == ("Darwin", frozenset({"x86_64", "aarch64"}))


def test_a_directory(tmp_path: Path) -> None:
    facts = probe_directory(tmp_path / "not" / "yet")
    assert check_directory(replace(facts, free=LEAST_DISK)).outcome is CheckOutcome.OK
    assert list(tmp_path.iterdir()) == []
    full = check_directory(replace(facts, free=5 << 20))
    assert full.outcome is CheckOutcome.FAILED and "has only 5 MiB left" in full.sentence
    blocked = tmp_path / "file"
    blocked.write_text("")
    refused = check_directory(probe_directory(blocked / "below"))
    assert refused.outcome is CheckOutcome.FAILED and "cannot be written" in refused.sentence
    assert check_directory(DirectoryFacts(tmp_path, "Read-only file system", 1 << 40)).outcome is CheckOutcome.FAILED


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (LimitFacts(256, None, 0), "only 256 files may be open here; run: ulimit -n 1024"),
        (LimitFacts(None, 100, 90), "may run 100 threads and runs 90"),
    ],
)
def test_limits_that_are_too_low(facts: LimitFacts, words: str) -> None:
    finding = check_limits(facts)
    assert finding.outcome is CheckOutcome.FAILED and words in finding.sentence


def test_limits_that_are_not() -> None:
    assert check_limits(LimitFacts(None, None, 10**6)).outcome is CheckOutcome.OK
    assert check_limits(LimitFacts(1024, 1000, 100)).outcome is CheckOutcome.OK
    assert probe_limits().running > 0


def test_memory_counts_the_runs_model() -> None:
    assert check_memory(MemoryFacts(2 << 30, 1000)).outcome is CheckOutcome.OK
    finding = check_memory(MemoryFacts(2 << 30, 10**9))
    assert finding.outcome is CheckOutcome.FAILED and "a peer of this run needs about" in finding.sentence
    assert check_memory(MemoryFacts(100 << 20, None)).outcome is CheckOutcome.FAILED
    facts = probe_memory(run_manifest())
    assert facts.available > 0 and needed_memory(facts.dimension or 0) > needed_memory(0)


CPU = NumericsFacts("2.13.0", "", None, False, False, "auto", "torch 2.13.0, a processor, float32")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"torch": "", "torch_error": "ImportError: libtorch"}, "torch cannot be imported (ImportError: libtorch)"),
        ({"device": "cuda"}, "torch 2.13.0 is built without CUDA"),
        ({"device": "cuda", "cuda": "13.0"}, "torch finds no CUDA device"),
        ({"gpu": True}, "has an NVIDIA GPU, but torch 2.13.0 is built without CUDA"),
        ({"gpu": True, "cuda": "13.0"}, "is built for CUDA 13.0 and cannot use it"),
    ],
)
def test_a_device_that_cannot_compute(changed: dict[str, object], words: str) -> None:
    finding = check_device(replace(CPU, **changed))  # type: ignore[arg-type]
    assert finding.outcome is CheckOutcome.FAILED and words in finding.sentence


def test_a_device_that_can() -> None:
    assert check_device(CPU).outcome is CheckOutcome.OK
    assert check_device(replace(CPU, gpu=True, device="cpu")).outcome is CheckOutcome.OK
    found = probe_numerics(Device.CPU, "none")
    assert check_device(found).outcome is CheckOutcome.OK and "float32" in found.numerics


MEASURED = ToleranceFacts(Path("t.json"), "", "here", "digits tiny", "here", 1e-5, "digits tiny", 0.025)


@pytest.mark.parametrize(
    ("changed", "outcome", "words"),
    [
        ({}, CheckOutcome.OK, "differ here by at most 1e-05, below the run's 0.025"),
        ({"run_task": None}, CheckOutcome.OK, "of their length"),
        ({"problem": None}, CheckOutcome.UNTESTED, "t.json is missing"),
        ({"problem": "bad"}, CheckOutcome.FAILED, "no tolerance file (bad)"),
        ({"numerics": "there"}, CheckOutcome.FAILED, "was measured with there, but here it is here now"),
        ({"task": "gpt tiny"}, CheckOutcome.UNTESTED, "was measured for gpt tiny, the run trains digits tiny"),
        ({"worst": 0.03}, CheckOutcome.FAILED, "this machine would be banned"),
        ({"exact": True}, CheckOutcome.FAILED, "are not bit-equal here"),
    ],
)
def test_what_calibration_has_measured(changed: dict[str, object], outcome: CheckOutcome, words: str) -> None:
    finding = check_tolerance(replace(MEASURED, **changed))  # type: ignore[arg-type]
    assert (finding.outcome, words in finding.sentence) == (outcome, True), finding.sentence


def test_a_tolerance_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "tolerance.json"
    assert probe_tolerance(file, "here", None).problem is None
    file.write_text("{}")
    assert probe_tolerance(file, "here", None).problem == "Field required"
    fields = {"size": "tiny", "numerics": "here", "samples": 1, "worst": 0.5, "accuse": 0.1, "convict": 0.05}
    Tolerance(task="digits", exact=False, reason="", **fields).write(file)  # type: ignore[arg-type]
    facts = probe_tolerance(file, "here", run_manifest())
    assert (facts.problem, facts.task, facts.worst) == ("", "digits tiny", 0.5)
    assert check_tolerance(facts).outcome is CheckOutcome.FAILED


def test_this_machine_is_named_as_python_names_it(tmp_path: Path) -> None:
    facts = probe_binary(tmp_path)
    assert (facts.system, facts.machine, facts.exists) == (platform.system(), platform.machine(), False)
    assert os.access(tmp_path, os.X_OK) and facts.head is None
