"""Judging what a run asks of a peer: its key, and how it computes."""

from __future__ import annotations

from collections.abc import Collection

from btard.identity import PeerId
from btard.peer.doctor.finding import CheckResult, failed, ok, untested
from btard.swarm.manifest import RunManifest


def check_listed(manifest: RunManifest, mine: PeerId | None) -> CheckResult:
    """Whether the run admits this machine's key; None where there is none yet."""
    name, count = "list of members", len(manifest.members)
    if not count:
        return ok(name, "the run is open to all keys")
    if mine is None:
        return untested(name, f"the run admits {count} listed keys alone, and there is no key in --directory yet")
    if not manifest.admits(mine):
        return failed(name, f"the run admits {count} listed keys, and not {mine}; begin a run that lists it")
    return ok(name, f"this machine's key is among the {count} that the run admits")


def check_computes_alike(here: str, told: Collection[str]) -> CheckResult:
    """Whether members compute as this machine does, by what they tell of themselves.

    Args:
        here: this machine's numerics.
        told: those of the members that tell them.
    """
    name = "numerics"
    if not told:
        return untested(name, "no member tells how it computes")
    alike = sum(one == here for one in told)
    words = f"{alike} of {len(told)} members that tell it compute as this machine does ({here})"
    if 2 * alike > len(told):
        return ok(name, words)
    return untested(name, f"{words}; btard-peer compares one gradient with theirs, and says by how much it is off")
