"""Judging the way to the swarm and back: addresses, dialling back, clocks."""

from __future__ import annotations

import ipaddress
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from btard.peer.doctor.finding import CheckResult, failed, ok, untested
from btard.transport.libp2p.probing import ClockReading, DialBack, Reach

MAX_SKEW_SECONDS = 10.0
"""Seconds that clocks may differ before this machine's is called wrong; records have a day, logs and tables do not."""


_MADDR = re.compile(r"^/(?P<kind>ip4|ip6|dns|dns4|dns6|dnsaddr)/(?P<host>[^/]+)/(?:tcp|udp)/\d+")


_CLIENT = "--client-mode, which needs no address: such a peer owns no part, validates nothing and has no vote"


class Hop(StrEnum):
    """The last hop on the way to an address that was reached; the next one failed."""

    NOTHING = "nothing"
    NAME = "name"
    PORT = "port"
    PEER = "peer"
    """A libp2p peer answers there."""


@dataclass(frozen=True)
class Answer:
    """What is behind an address.

    Attributes:
        reached: the last hop that was.
        said: by the one that failed.
        refused: whether the port refused the connection, which only a machine that is there does.
        shown, wanted: the id of the peer that answers, and the one that the address names, empty if none.
        maddr: of the peer that answers.
    """

    address: str
    reached: Hop
    said: str = ""
    refused: bool = False
    shown: str = ""
    wanted: str = ""
    maddr: str = ""


def check_address(answer: Answer) -> CheckResult:
    """Whether the peer that was meant answers at an address."""
    name, where = "initial peer", answer.address
    if answer.reached is Hop.NOTHING:
        return failed(name, f"the name in {where} does not resolve ({answer.said}); check it, and this machine's DNS")
    if answer.reached is Hop.NAME:
        if answer.refused:
            return failed(name, f"nobody listens at {where} ({answer.said}); start the coordinator, or check the port")
        return failed(
            name,
            f"{where} cannot be reached ({answer.said}): the machine is off, or a firewall is in between; open the "
            "port there",
        )
    if answer.reached is Hop.PORT:
        return failed(name, f"something listens at {where}, but it is no libp2p peer ({answer.said}); check the port")
    if answer.wanted and answer.shown != answer.wanted:
        return failed(
            name, f"another peer answers at {where}: {answer.shown}; check the address, or the coordinator's key"
        )
    return ok(name, f"the libp2p peer {answer.shown} answers at {where}")


class Scope(IntEnum):
    """From where an address can be dialled."""

    MACHINE = 0
    NETWORK = 1
    WORLD = 2


def scope_of(maddr: str) -> Scope | None:
    """Return from where a multiaddress can be dialled; None for what is none. Names and relays count as public."""
    if "/p2p-circuit" in maddr:
        return Scope.WORLD
    match = _MADDR.match(maddr)
    if match is None:
        return None
    if not match["kind"].startswith("ip"):
        return Scope.MACHINE if match["host"] == "localhost" else Scope.WORLD
    return scope_of_ip(match["host"])


def scope_of_ip(text: str) -> Scope | None:
    """Return from where an IP address can be dialled; None for what is none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if address.is_loopback:
        return Scope.MACHINE
    return Scope.WORLD if address.is_global else Scope.NETWORK


@dataclass(frozen=True)
class AddressFacts:
    """What this machine tells others as its addresses, and where the others are; multiaddresses.

    Attributes:
        own: told to others.
        others: of the initial peers, and of the peers that announce themselves.
        announced: whether `own` was given by --announce.
    """

    own: tuple[str, ...]
    others: tuple[tuple[str, ...], ...]
    announced: bool


def check_announced(facts: AddressFacts) -> CheckResult:
    """Whether the addresses that this machine tells can be dialled from where the others are."""
    name = "announced address"
    mine = max((scope for maddr in facts.own if (scope := scope_of(maddr)) is not None), default=None)
    source = "--announce gives" if facts.announced else "this machine tells others"
    if mine is None:
        return failed(name, f"{source} no address that can be dialled; listen on 0.0.0.0, or give --announce")
    needed = _needed(facts.others)
    shown = ", ".join(maddr.partition("/p2p/")[0] for maddr in facts.own[:3])
    if mine < needed:
        kind = "loopback" if mine is Scope.MACHINE else "private"
        away = "in the public internet" if needed is Scope.WORLD else "on other machines"
        remedy = "the public address of a forwarded port, or use --public" if needed is Scope.WORLD else "one of a LAN"
        return failed(
            name,
            f"{source} only {kind} addresses ({shown}), but peers are {away}; give --announce with {remedy}, or take "
            f"part with {_CLIENT}",
        )
    return ok(name, f"{source} {shown}, which fits where the other peers are")


def _needed(others: Sequence[Sequence[str]]) -> Scope:
    """Return the scope needed to be dialled by all; p2pd tells loopback always, so a peer's widest address counts."""
    scopes = [scope for maddrs in others for maddr in maddrs if (scope := scope_of(maddr)) is not None]
    return max(scopes, default=Scope.MACHINE)


def check_dial_back(answer: DialBack | None, own: Sequence[str]) -> CheckResult:
    """Whether another peer's p2pd could open a connection to this machine."""
    name = "dial back"
    asked = ", ".join(own[:3])
    if answer is None:
        return untested(name, "nobody was asked to dial this machine, since no initial peer is reached")
    match answer.reach:
        case Reach.REACHED:
            return ok(name, f"the initial peer has dialled this machine back at one of {asked}")
        case Reach.UNREACHED:
            return failed(
                name,
                f"the initial peer cannot dial this machine at {asked} ({answer.words}): a NAT or firewall is in "
                f"between; forward the port and give --announce, use --public, or take part with {_CLIENT}",
            )
        case Reach.REFUSED:
            return untested(
                name,
                f"whether others can dial this machine could not be tested: p2pd dials back only public addresses, and "
                f"the one that the initial peer would dial is none ({answer.words})",
            )
    return untested(
        name,
        "whether others can dial this machine could not be tested: the initial peer does not dial back, which needs "
        f"its --public ({answer.words})",
    )


def check_own_address(answer: Answer) -> CheckResult:
    """Whether an address of --announce leads back to this machine, as seen from this machine."""
    name = "own address"
    if answer.reached is Hop.PEER and answer.shown == answer.wanted:
        return ok(name, f"{answer.address} leads back to this machine, as seen from here")
    if answer.reached is Hop.PEER:
        return failed(name, f"{answer.address} leads to another peer, {answer.shown}; two machines announce the same")
    if answer.reached is Hop.PORT:
        return failed(name, f"{answer.address} leads to something that is no libp2p peer ({answer.said})")
    if answer.reached is Hop.NOTHING:
        return failed(name, f"the name in {answer.address} does not resolve ({answer.said}); others cannot find it")
    return untested(
        name,
        f"{answer.address} cannot be reached from here ({answer.said}); from outside it may be, since many routers do "
        "not lead back inside",
    )


@dataclass(frozen=True)
class ClockFacts:
    """Readings of others' clocks: of the initial peers and of members."""

    readings: tuple[ClockReading, ...]


def check_clock(facts: ClockFacts) -> CheckResult:
    """Whether this clock agrees with those of most others.

    A peer's clock, told between two readings of ours, was read in between: this one is ahead by something from
    asked - told to answered - told. Some may lie, so the median of the lower and that of the upper bounds count.
    """
    bounds = [(reading.asked - reading.told, reading.answered - reading.told) for reading in facts.readings]
    if not bounds:
        return untested("clock", "the clock could not be compared: no peer tells its time")
    low = statistics.median(low for low, _ in bounds)
    high = statistics.median(high for _, high in bounds)
    how = f"by {_count(len(bounds), 'reading')} of others' clocks"
    if low > MAX_SKEW_SECONDS or high < -MAX_SKEW_SECONDS:
        side = f"ahead of the swarm's by at least {low:.0f} s" if low > 0 else f"behind the swarm's by {-high:.0f} s"
        return failed("clock", f"this machine's clock is {side} ({how}); set it, for example by starting NTP")
    return ok("clock", f"this machine's clock is {_offset(low, high)} the swarm's, {how}")


def _offset(low: float, high: float) -> str:
    """Return how far ahead a clock is, in words; negative seconds are behind."""
    if low >= 0:
        return f"{low:.2f} to {high:.2f} s ahead of"
    if high <= 0:
        return f"{-high:.2f} to {-low:.2f} s behind"
    return f"at most {-low:.2f} s behind and {high:.2f} s ahead of"


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
