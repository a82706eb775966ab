"""Why a peer gives an attempt up: what is proven, which complaints it has, and what it shows the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from btard.identity import Envelope, PeerId
from btard.round.attempt.attempt import Attempt
from btard.round.failure.disputes import SIGNED_FAULTS
from btard.round.failure.heard import Heard
from btard.round.messages.accusations import Charge, ChargeKind, Fault
from btard.round.messages.attachments import SHOWN
from btard.round.messages.bodies import Phase
from btard.round.phases.phase import HOPELESS
from btard.round.work.examination import Finding


def proofs(attempt: Attempt, phase: Phase, false_reveals: Iterable[tuple[Envelope, Envelope]]) -> list[Envelope]:
    """Return signed messages that contradict each other or the rules."""
    said = attempt.said
    if not attempt.alarm and not said.headers and not said.reveals:
        return []
    pairs = list(said.contradictions.values())
    # A header that contradicts the commitment gives the alarm once its payload is there.
    if phase <= Phase.GATHER and (attempt.alarm or attempt.carried.in_flight):
        pairs += said.mismatches()
    if phase is Phase.REVEAL:
        pairs += false_reveals
    return [envelope for pair in pairs for envelope in pair] + list(said.malformed.values())


def complaints(missing: Mapping[PeerId, Fault], heard: Heard, *, ended: bool) -> dict[PeerId, Fault]:
    """Return the complaints; `ended` says that everything has been waited for.

    Once a reason is known, nobody complains of what it misses, and testimony does not grow any more: others may have
    stopped for that reason before they could say what they have not got.
    """
    explained, reasoned = heard.explained, heard.reasoned
    return {
        peer: fault
        for peer, fault in missing.items()
        if fault is Fault.OTHER_VIEW or (not reasoned and (fault in HOPELESS or (ended and peer not in explained)))
    }


def charge_of(target: PeerId, finding: Finding) -> Charge | None:
    """Return what a validator accuses its target of by what it has found, None for nothing."""
    if not finding.accuse and not finding.withheld:
        return None
    return Charge(ChargeKind.WITHHELD if finding.withheld else ChargeKind.GRADIENT, target, 0)


def shown(attempt: Attempt, faults: Iterable[Fault], *, charged: bool) -> list[Envelope]:
    """Return what this peer was told, where somebody may have been told something else."""
    if not charged and SIGNED_FAULTS.isdisjoint(faults):
        return []
    return [envelope for (kind, _), envelope in attempt.said.signed.items() if kind in SHOWN]
