"""Why a peer gives an attempt up: what is proven, which complaints it has, and what it shows the others."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from btard.identity import Envelope, MessageKind, PeerId
from btard.round.actions import Action, Send
from btard.round.attempt.attempt import Attempt
from btard.round.context import StepContext
from btard.round.failure.disputes import SIGNED_FAULTS
from btard.round.failure.heard import Heard
from btard.round.failure.settlement import Settlement
from btard.round.messages.accusations import Charge, ChargeKind, Fault
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
    if phase <= Phase.CHECK and (attempt.alarm or attempt.carried.in_flight):
        pairs += said.mismatches()
    if phase is Phase.REVEAL:
        pairs += false_reveals
    return [envelope for pair in pairs for envelope in pair] + list(said.malformed.values())


@dataclass(frozen=True)
class Grounds:
    """Why a peer gives an attempt up.

    Attributes:
        missing: what the phase lacks of whom.
        proven: signed messages that contradict each other or the rules.
        late: peers of which something came too late.
        ended: whether everything has been waited for.
    """

    phase: Phase
    missing: Mapping[PeerId, Fault]
    proven: list[Envelope]
    charge: Charge | None
    late: Collection[PeerId]
    ended: bool


def give_up(now: float, context: StepContext, settlement: Settlement, grounds: Grounds) -> list[Action]:
    """Report why; a member that may not have begun the step is shown before that the step before is over, since it has
    to recall as soon as it hears of the failure."""
    attempt, actions = settlement.attempt, list[Action]()
    signed, seats = attempt.said.signed, attempt.seats
    unheard = tuple(peer for peer in seats.others if (MessageKind.COMMIT, peer) not in signed)
    if seats.number == 0 and unheard and context.certificate is not None:
        actions.append(Send(unheard, context.certificate()))
    complained = complaints(grounds.missing, settlement.heard, ended=grounds.ended)
    own = signed.get((MessageKind.DIGEST, seats.me))
    attached = [*([] if own is None else [own]), *grounds.proven, *shown(attempt, complained)]
    return actions + settlement.freeze(now, grounds.phase, complained, attached, grounds.charge, grounds.late)


def complaints(missing: Mapping[PeerId, Fault], heard: Heard, *, ended: bool) -> dict[PeerId, Fault]:
    """Return the complaints; `ended` says that everything has been waited for.

    Once a reason is known, nobody complains of what it misses, and testimony does not grow any more: others may have
    stopped for that reason before they could say what they have not got.
    """
    if heard.reasons:
        return {}
    return {p: fault for p, fault in missing.items() if fault in HOPELESS or (ended and p not in heard.left)}


def charge_of(target: PeerId, finding: Finding) -> Charge | None:
    """Return what a validator accuses its target of by what it has found, None for nothing."""
    if not finding.accuse and not finding.withheld:
        return None
    return Charge(ChargeKind.WITHHELD if finding.withheld else ChargeKind.GRADIENT, target, 0)


def shown(attempt: Attempt, complained: Mapping[PeerId, Fault]) -> list[Envelope]:
    """Return the signed messages that complaints are about: another state, view or digest than that of most."""
    signed, found = attempt.said.signed, []
    for peer, fault in complained.items():
        if fault in SIGNED_FAULTS:
            kind = MessageKind.DIGEST if fault is Fault.OTHER_DIGEST else MessageKind.COMMIT
            found.append(signed[kind, peer])
    return found


def is_lost(missing: Mapping[PeerId, Fault], heard: Heard, *, busy: bool) -> bool:
    """Whether a phase cannot become complete any more: of what it lacks, nothing will come. `busy` says that this
    peer's own work is still to be done."""
    if not heard.left.keys().isdisjoint(missing):
        return True
    return bool(missing) and not busy and all(fault in HOPELESS for fault in missing.values())
