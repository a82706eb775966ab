"""Facts of this machine that a program looks at first: folders, ports, packages, processors.

Nothing here imports torch or hivemind, starts a process or asks another machine, so that a mistake is told at once, in
the words of the flag that it is in.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from btard.errors import UserError
from btard.swarm.http.address import Address, bind
from btard.swarm.http.token import read_token
from btard.tasks.data.files import expanded, find_tokenizer
from btard.tasks.data.spec import DataSpec
from btard.vocabulary import Device, WandbMode

_BUILT_FOR = re.compile(r"^(cuda|hip)\b[^=]*= *(.*)$", re.MULTILINE)
_DRIVER = "libcuda.so.1"


def make_writable(directory: Path, flag: str = "--directory") -> None:
    """Make a directory, unless it is there, and try to write into it.

    Raises:
        UserError: it cannot be made or written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        probe = directory / f".writable.{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(f"cannot write into {directory}: {error.strerror}; give a writable {flag}") from None


def check_can_be_made(path: Path, flag: str) -> None:
    """Check, without making anything, that a directory is writable, or could be made where it shall be.

    Raises:
        UserError: it cannot, or something else is there.
    """
    there = path.absolute()
    try:
        while not there.exists() and not there.is_symlink() and there != there.parent:
            there = there.parent
        usable = there.is_dir() and os.access(there, os.W_OK | os.X_OK)
    except OSError as error:
        raise UserError(f"{flag} is {path}, which cannot be looked at: {error.strerror}") from None
    if not usable:
        why = f"{there} cannot be written" if there.is_dir() else f"{there} is no directory"
        raise UserError(f"{flag} is {path}, but {why}; give a writable {flag}")


def check_corpus(data: str | None, tokenizer: str | None, cache_dir: Path | None) -> None:
    """Check what can be known of a corpus and its tokenizer without reading them.

    A cache that is read-only may have all that is needed, so it need not be writable here.

    Raises:
        UserError: one of them is not there, or not of a form that is read.
    """
    if data is not None:
        DataSpec.parse(data, tokenizer)
    if tokenizer is not None:
        find_tokenizer(expanded(tokenizer, "--tokenizer"))
    if cache_dir is not None:
        cache = expanded(cache_dir, "--cache-dir")
        if (cache.exists() or cache.is_symlink()) and not cache.is_dir():
            raise UserError(f"--cache-dir is {cache_dir}, but must be a folder, or a place for a new one")


def check_ports(host: str, ports: Mapping[str, int], taken: Mapping[str, str | None], directory: Path | None) -> None:
    """Check that a program does not want one port twice, and that the port of its node is free.

    Args:
        host: where the node listens.
        ports: that of the node by its flag, 0 for any.
        taken: the addresses of other things that it serves, by their flags.
        directory: of the program; what a killed predecessor there has left may hold the port, and is removed later.

    Raises:
        UserError: two flags name one port, or the port is taken.
    """
    wanted = dict(ports) | {flag: Address.parse(text).port for flag, text in taken.items() if text is not None}
    flags: dict[int, str] = {}
    for flag, port in wanted.items():
        if port and port in flags:
            raise UserError(f"{flags[port]} and {flag} both name port {port}; give one of them another")
        flags[port] = flag
    lock = None if directory is None else directory / "identity.key.lock"
    if lock is not None and lock.exists() and lock.stat().st_size:
        return
    for flag, port in ports.items():
        if port:
            bind(Address(host, port), flag)[0].close()


def check_served(text: str | None, token_file: Path | None, flag: str) -> None:
    """Check that another process will be able to serve something here; `flag` is whose value the address is.

    Raises:
        UserError: nothing can listen there, or the token cannot be had.
    """
    if token_file is not None:
        read_token(token_file, f"{flag}-token-file")
    if text is not None:
        bind(Address.parse(text), flag)[0].close()


def check_device(device: Device) -> None:
    """Check that there may be CUDA, if it is asked for; torch, which knows it for sure, is asked later.

    Raises:
        UserError: torch was built without it, or there is no driver.
    """
    if device is Device.CUDA and not _may_have_cuda():
        raise UserError("--device is cuda, but this machine has no CUDA device; use --device cpu or auto")


def _may_have_cuda() -> bool:
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return False
    try:
        text = Path(spec.origin).with_name("version.py").read_text(encoding="utf-8")
    except OSError:
        return True
    built = {name for name, value in _BUILT_FOR.findall(text) if value.strip() != "None"}
    if not built and _BUILT_FOR.search(text):
        return False
    return sys.platform != "linux" or "hip" in built or _has_driver()


def _has_driver() -> bool:
    try:
        ctypes.CDLL(_DRIVER)
    except OSError:
        return False
    return True


def check_wandb(mode: WandbMode) -> None:
    """Check that the package for Weights & Biases is installed, if it is asked for; raises UserError."""
    if mode is not WandbMode.OFF and find_spec("wandb") is None:
        raise UserError("--wandb needs the package wandb: pip install wandb, or leave the flag out")
