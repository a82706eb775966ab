"""Ends of steps that members have signed, and chains of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from btard.hashing import digest
from btard.identity import Envelope, MessageKind
from btard.round.attempt.seats import attempt_id_of
from btard.round.messages.bodies import Digest
from btard.round.roster import Roster, first_randomness
from btard.round.rules import StepRules
from btard.swarm.lineage import ChainLink, extended
from tests.btard.round.swarm import RULES, keys

KEYS = {key.peer_id: key for key in keys(40)}
PEERS = tuple(KEYS)


def roster(step: int, numbers: Iterable[int]) -> Roster:
    """The roster of a step, of numbered peers."""
    return Roster(step, tuple(sorted(PEERS[n] for n in numbers)), frozenset(), first_randomness(0, step))


def link(
    before: Roster, after: Roster, *, incarnation: int = 0, said: Roster | None = None, of: StepRules = RULES
) -> ChainLink:
    """The end of a step that those have signed that are in both rosters; what they signed may be another one."""
    rules = of.reborn(incarnation)
    members = tuple(peer for peer in before.members if peer in after.members)
    named = attempt_id_of(rules, before, 0, members)
    body = Digest(named, digest(b"t"), digest(b"x"), (said or after).digest).encode()
    made = {"run": rules.run, "step": before.step, "kind": MessageKind.DIGEST, "attempt": 0}
    signed = tuple(Envelope.sign(KEYS[peer], **made, body=body) for peer in members)  # type: ignore[arg-type]
    return ChainLink(incarnation, before, after, signed)


def history(steps: int, size: int = 5) -> list[Roster]:
    """The rosters of steps in each of which the oldest member leaves, and a new one comes."""
    return [roster(step, range(step, step + size)) for step in range(steps + 1)]


def chain(rosters: Sequence[Roster], base: Roster, of: StepRules = RULES) -> tuple[ChainLink, ...]:
    """What a peer keeps that has seen all of these."""
    links: tuple[ChainLink, ...] = ()
    for before, after in pairwise(rosters):
        links = extended(links, base, link(before, after, of=of))
    return links
