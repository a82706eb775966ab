"""Machines in network namespaces of this one, some of them behind a NAT of their own, and why they cannot be had.

All are on one bridge. Behind a NAT: a gateway hides the machine's address, lets its own connections out, and drops
all that others begin.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

_NEW_NETWORK = 0x40000000
_RULES = """
add table ip nat
add chain ip nat post { type nat hook postrouting priority 100 ; }
add rule ip nat post oifname eth0 masquerade
add table ip wall
add chain ip wall forward { type filter hook forward priority 0 ; }
add rule ip wall forward iifname eth0 ct state new drop
add chain ip wall input { type filter hook input priority 0 ; }
add rule ip wall input iifname eth0 ct state new drop
"""


def why_not() -> str | None:
    """Return why no namespaces can be made here, None where they can."""
    missing = [program for program in ("ip", "nft") if shutil.which(program) is None]
    if missing:
        return f"needs the program {' and '.join(missing)}"
    try:
        with Network(["a", "b"], behind_nat=["b"]):
            return None
    except subprocess.CalledProcessError as error:
        return f"needs rights to make network namespaces: {' '.join(error.cmd)} says {error.stderr.strip()}"


class Network:
    """A bridge, and a namespace for each machine.

    Attributes:
        address: of each machine as the others see it: its own, or its gateway's.
    """

    def __init__(self, machines: Sequence[str], *, behind_nat: Collection[str] = ()) -> None:
        """Name the machines; nothing is made before `with`."""
        self._machines = machines
        self._hidden = behind_nat
        self._prefix = f"bt{os.getpid() % 10000}"
        self._made: list[str] = []
        self.address = {name: f"10.77.0.{number}" for number, name in enumerate(machines, 1)}

    def __enter__(self) -> Self:
        try:
            self._make()
        except BaseException:
            self._unmake()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._unmake()

    def inside(self, machine: str) -> Callable[[], None]:
        """Return what moves a new process onto a machine, for `preexec_fn`."""
        path = Path("/run/netns") / self._name(machine)

        def enter() -> None:
            descriptor = os.open(path, os.O_RDONLY)
            if ctypes.CDLL(None).setns(descriptor, _NEW_NETWORK) != 0:
                os._exit(1)
            os.close(descriptor)

        return enter

    def _make(self) -> None:
        bridge = self._namespace("bridge")
        _ip("-n", bridge, "link", "add", "bridge0", "type", "bridge")
        _ip("-n", bridge, "link", "set", "bridge0", "up")
        for number, machine in enumerate(self._machines):
            inner = self._namespace(machine)
            outer = self._namespace(f"{machine}-nat") if machine in self._hidden else inner
            port = f"port{number}"
            _ip("link", "add", port, "netns", bridge, "type", "veth", "peer", "name", "eth0", "netns", outer)
            _ip("-n", bridge, "link", "set", port, "master", "bridge0", "up")
            _ip("-n", outer, "addr", "add", f"{self.address[machine]}/24", "dev", "eth0")
            _ip("-n", outer, "link", "set", "eth0", "up")
            if outer != inner:
                self._hide(inner, outer)

    def _hide(self, inner: str, outer: str) -> None:
        _ip("link", "add", "lan0", "netns", outer, "type", "veth", "peer", "name", "eth0", "netns", inner)
        for space, device, address in ((outer, "lan0", "192.168.9.1/24"), (inner, "eth0", "192.168.9.2/24")):
            _ip("-n", space, "addr", "add", address, "dev", device)
            _ip("-n", space, "link", "set", device, "up")
        _ip("-n", inner, "route", "add", "default", "via", "192.168.9.1")
        _run("ip", "netns", "exec", outer, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        _run("ip", "netns", "exec", outer, "nft", "-f", "-", text=_RULES)

    def _namespace(self, machine: str) -> str:
        name = self._name(machine)
        _ip("netns", "add", name)
        self._made.append(name)
        _ip("-n", name, "link", "set", "lo", "up")
        return name

    def _name(self, machine: str) -> str:
        return f"{self._prefix}-{machine}"

    def _unmake(self) -> None:
        while self._made:
            subprocess.run(["ip", "netns", "del", self._made.pop()], check=False, capture_output=True)


def _ip(*words: str) -> None:
    _run("ip", *words)


def _run(*words: str, text: str | None = None) -> None:
    subprocess.run(words, check=True, capture_output=True, text=True, input=text)
