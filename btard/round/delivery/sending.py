"""What this peer sends of its own: parts of its vector, and the aggregate of its part."""

from __future__ import annotations

from btard.identity import MessageKind, PeerId
from btard.identity.envelope import UnsignedEnvelope
from btard.round.actions import Action, SendPart
from btard.round.attempt.attempt import Attempt
from btard.round.context import StepContext
from btard.round.messages.bodies import Aggregate, PartHeader


def send_part(context: StepContext, attempt: Attempt, receiver: PeerId, part: int) -> list[Action]:
    """Send an own part to one peer, under a header that signs its hash."""
    seats, commits = attempt.seats, attempt.said.commits
    payload = context.behaviour.part(context.number, receiver, attempt.carried.rows[seats.me, part])
    if payload is None:
        return []
    committed = commits[seats.me].parts if seats.me in commits else ()
    if part >= len(committed):
        return []
    announced = context.behaviour.part_digest(context.number, receiver, committed[part])
    envelope = UnsignedEnvelope.prepare(
        context.key,
        run=context.rules.run,
        step=context.roster.step,
        attempt=seats.number,
        kind=MessageKind.PART,
        message=PartHeader(part, announced),
    )
    return [SendPart(receiver, envelope, payload)]


def send_aggregate(context: StepContext, attempt: Attempt, receiver: PeerId) -> list[Action]:
    """Send the own aggregate to one peer, under the header that commits to it."""
    seats, said = attempt.seats, attempt.said
    assert seats.my_part is not None
    data = context.behaviour.aggregate_for(context.number, receiver, attempt.carried.aggregate(seats.my_part))
    if data is None:
        return []
    envelope, digest = said.signed[MessageKind.AGGREGATE, seats.me], said.aggregates[seats.me].digest
    announced = context.behaviour.aggregate_digest(context.number, receiver, digest)
    if announced != digest:
        envelope = context.sign(seats.number, MessageKind.AGGREGATE, Aggregate(announced).encode())
    return [SendPart(receiver, envelope, data)]
