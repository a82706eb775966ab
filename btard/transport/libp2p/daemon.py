"""One p2pd process: started with its own private socket directory, and never left behind.

The kernel kills p2pd when the thread that started it dies (Linux: PR_SET_PDEATHSIG), so start it from a thread that
lives as long as the peer, normally the main one. A file beside the identity names the sockets and the process, so that
what a killed peer left is removed at the next start; it is locked while the peer lives, so that two peers cannot share
an identity.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import fcntl
import importlib.resources
import json
import logging
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from btard.errors import UserError
from btard.identity import IdentityKey, PeerId
from btard.transport.libp2p.control import ControlSocket

logger = logging.getLogger(__name__)

_DIRECTORY_PREFIX = "btard-p2pd-"
_LISTEN = re.compile(r"^/ip(?P<version>[46])/(?P<host>[^/]+)/tcp/(?P<port>[1-9][0-9]*)$")
_END_TIMEOUT_SECONDS = 10
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

_ENVIRONMENT = {
    "GOLOG_LOG_LEVEL": "error",
    "GOLOG_LOG_FMT": "json",
    # On few cores, p2pd's threads fight each other and Python for them; one saves a fifth of its CPU time per byte.
    "GOMAXPROCS": "1" if (os.cpu_count() or 1) <= 2 else "2",
}
"""Settings of p2pd that an operator's own environment overrides."""


class Daemon:
    """A running p2pd. Made by `start`; ended by `stop`."""

    def __init__(self, process: asyncio.subprocess.Process, directory: Path, lock: int, peer_id: PeerId) -> None:
        self._process = process
        self._lock = lock
        self._output: deque[str] = deque(maxlen=20)
        self._ready = asyncio.Event()
        self._reading = asyncio.create_task(self._read_output())
        self.peer_id = peer_id
        self.directory = directory
        """Holds the unix sockets; mode 700."""
        self.control = ControlSocket(directory / "p2pd.sock")
        self.pid = process.pid

    @classmethod
    async def start(
        cls,
        identity_path: Path,
        *,
        host_maddrs: Sequence[str],
        announce_maddrs: Sequence[str] = (),
        public: bool = False,
        tls: bool = True,
        timeout_seconds: float = 30.0,
    ) -> Daemon:
        """Start p2pd with the key of `identity_path` (made when missing) and wait until it answers.

        Args:
            identity_path: the Ed25519 key file.
            host_maddrs: where to listen; port 0 takes a free one.
            announce_maddrs: addresses told to others instead of the ones found.
            public: use NAT port mapping, hole punching, and AutoNAT, which a swarm on one network does not need.
            tls: offer TLS beside Noise.
            timeout_seconds: seconds until the daemon must answer.

        Raises:
            UserError: the identity is in use or unusable, the port is taken, or p2pd does not start.
        """
        key = IdentityKey.load_or_create(identity_path)
        lock = _lock(identity_path)
        directory: Path | None = None
        daemon: Daemon | None = None
        try:
            _remove_recorded(lock)
            _refuse_taken(host_maddrs)
            directory = Path(tempfile.mkdtemp(prefix=_DIRECTORY_PREFIX))
            _record(lock, directory, None)
            arguments = _arguments(directory, identity_path, host_maddrs, announce_maddrs, public, tls)
            process = await asyncio.create_subprocess_exec(
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env={**_ENVIRONMENT, **os.environ},
                preexec_fn=_die_with(os.getpid()),
                start_new_session=True,
            )
            daemon = cls(process, directory, lock, key.peer_id)
            _record(lock, directory, process.pid)
            await daemon._wait_ready(timeout_seconds, host_maddrs)
        except BaseException as error:
            if daemon is not None:
                await daemon.stop()
            else:
                _release(lock, directory)
            if isinstance(error, OSError):
                raise UserError(f"cannot start p2pd: {error.strerror}; reinstall hivemind for this machine") from None
            raise
        return daemon

    async def _wait_ready(self, timeout_seconds: float, host_maddrs: Sequence[str]) -> None:
        ready = asyncio.create_task(self._ready.wait())
        done, _ = await asyncio.wait(
            {ready, self._reading}, timeout=timeout_seconds, return_when=asyncio.FIRST_COMPLETED
        )
        ready.cancel()
        if not self._ready.is_set():
            raise UserError(self._why_not_started(self._reading in done, timeout_seconds, " ".join(host_maddrs)))

    def _why_not_started(self, ended: bool, timeout_seconds: float, listening: str) -> str:
        said = " ".join(self._output)
        if "address already in use" in said:
            return _taken(listening)
        if "cannot assign requested address" in said:
            return f"this machine does not have the address of {listening}; listen on 0.0.0.0 or on an own address"
        if ended:
            return f"p2pd ended at once, saying: {said[-300:] or 'nothing'}"
        return f"p2pd did not start within {timeout_seconds:g} s; give it more time with a longer startup timeout"

    async def _read_output(self) -> None:
        """Read until p2pd ends: a full pipe would stop it. Lines are cut, since strangers can provoke log output."""
        assert self._process.stdout is not None
        rest = b""
        while chunk := await self._process.stdout.read(1 << 16):
            *lines, rest = (rest + chunk).split(b"\n")
            rest = rest[-2000:]
            for line in lines:
                text = line[:2000].decode(errors="replace").strip()
                self._output.append(text)
                logger.debug("p2pd: %s", text)
                if text.startswith("Peer ID:"):
                    self._ready.set()

    async def wait(self) -> str:
        """Wait for p2pd's end, however long that takes, and return how it ended."""
        code = await self._process.wait()
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        return f"{how}, last words: {self._output[-1][-300:]}" if self._output else how

    async def stop(self) -> None:
        """Kill p2pd, remove its sockets and free the identity. May be called twice."""
        # SIGKILL, because a stopped or hanging daemon must end as well; it keeps no state that could be damaged.
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        try:
            async with asyncio.timeout(_END_TIMEOUT_SECONDS):
                await self._process.wait()
                await self._reading
        except TimeoutError:
            logger.warning("p2pd %d does not end after SIGKILL", self.pid)
        _release(self._lock, self.directory)
        self._lock = -1


def _taken(listening: str) -> str:
    return f"the port of {listening} is already in use by another program; choose another port, or 0 for any free one"


def _refuse_taken(host_maddrs: Sequence[str]) -> None:
    """Raise a UserError where somebody listens already: two p2pd would share the port and its connections."""
    for maddr in host_maddrs:
        match = _LISTEN.match(maddr)
        if match is None:
            continue
        with socket.socket(socket.AF_INET if match["version"] == "4" else socket.AF_INET6) as trial:
            # Connections of a former run may linger; only a listener is in the way.
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if trial.family == socket.AF_INET6:
                trial.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                trial.bind((match["host"], int(match["port"])))
            except (OSError, OverflowError) as error:
                if getattr(error, "errno", None) == errno.EADDRINUSE:
                    raise UserError(_taken(maddr)) from None


def remove_leftovers(identity_path: Path) -> None:
    """Remove the sockets, and the p2pd if it still runs, of a peer that was killed; nothing if the peer is alive.

    Raises:
        UserError: the identity is in use or its directory is not writable.
    """
    lock = _lock(identity_path)
    _remove_recorded(lock)
    _release(lock, None)


def _arguments(
    directory: Path,
    identity_path: Path,
    host_maddrs: Sequence[str],
    announce_maddrs: Sequence[str],
    public: bool,
    tls: bool,
) -> list[str]:
    with importlib.resources.as_file(importlib.resources.files("hivemind.hivemind_cli") / "p2pd") as binary:
        arguments = [str(binary)]
    switch = int(public)
    arguments += [
        f"-listen=/unix{directory}/p2pd.sock",
        f"-id={identity_path.resolve()}",
        f"-hostAddrs={','.join(host_maddrs)}",
        f"-autonat={switch}",
        f"-natPortMap={switch}",
        "-relay=1",
        "-relayService=0",  # `relaying.py` takes the place of p2pd's own
        f"-tls={int(tls)}",
        "-dhtServer=1",
        "-connManager=1",
        "-idleTimeout=60s",
    ]
    if announce_maddrs:
        arguments.append(f"-announceAddrs={','.join(announce_maddrs)}")
    return arguments


def _die_with(parent: int) -> Callable[[], None] | None:
    if _libc is None:
        return None
    prctl = _libc.prctl

    def in_child() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return in_child


def _lock(identity_path: Path) -> int:
    path = identity_path.with_name(identity_path.name + ".lock")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; give a writable directory") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise UserError(f"the identity {identity_path} is in use by a running peer; give each peer its own") from None
    return descriptor


def _record(lock: int, directory: Path, pid: int | None) -> None:
    os.ftruncate(lock, 0)
    os.pwrite(lock, json.dumps({"directory": str(directory), "p2pd": pid}).encode(), 0)


def _remove_recorded(lock: int) -> None:
    try:
        record = json.loads(os.pread(lock, 4096, 0) or b"{}")
        directory, pid = Path(record.get("directory", "")), record.get("p2pd")
    except (ValueError, TypeError, AttributeError):
        logger.warning("the lock file beside the identity is damaged; sockets of a former run may be left in /tmp")
        return
    if not directory.name.startswith(_DIRECTORY_PREFIX):
        return
    if isinstance(pid, int):
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            if any(str(directory) in argument for argument in process.cmdline()):
                process.kill()
                process.wait(_END_TIMEOUT_SECONDS)  # it must have left its port
    shutil.rmtree(directory, ignore_errors=True)


def _release(lock: int, directory: Path | None) -> None:
    if directory is not None:
        shutil.rmtree(directory, ignore_errors=True)
    if lock >= 0:
        os.ftruncate(lock, 0)
        os.close(lock)
