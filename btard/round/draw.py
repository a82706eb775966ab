"""What public randomness decides: owners of parts, validators and their targets, witnesses, relays of disputed parts.

Every draw is a ranking of peers by a hash under its own tag, so that all peers draw alike and draws do not depend on
each other.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import count

from btard.hashing import tagged_digest
from btard.identity import PeerId

RELAYS = 2
"""Third peers through which a disputed part is asked for."""


@dataclass(frozen=True, order=True)
class Audit:
    """In this step `validator` sits out and recomputes what `target` sent in the step before."""

    validator: PeerId
    target: PeerId


def ranking(randomness: bytes, purpose: str, peers: Iterable[PeerId], *context: bytes) -> list[PeerId]:
    """Return the peers in an order that the randomness draws for one purpose."""
    return list(_ranking(randomness, purpose, tuple(peers), context))


# Peers simulated in one process all ask the same.
@lru_cache(maxsize=32)
def _ranking(
    randomness: bytes, purpose: str, peers: tuple[PeerId, ...], context: tuple[bytes, ...]
) -> tuple[PeerId, ...]:
    tag = f"btard draw {purpose}"
    return tuple(sorted(peers, key=lambda peer: tagged_digest(tag, randomness, peer, *context)))


def how_many(randomness: bytes, purpose: str, rate: float) -> int:
    """Return a whole number whose mean is `rate`: 0.25 is one in every fourth step, at random."""
    whole = math.floor(rate)
    uniform = int.from_bytes(tagged_digest(f"btard count {purpose}", randomness)[:6], "big") / 2**48
    return whole + (uniform < rate - whole)


def most_audits(voters: int) -> int:
    """Return how many validators can be drawn of so many: at least two voters are left over, and each has a target."""
    return max(0, (voters - 2) // 2)


def draw_audits(
    randomness: bytes, members: Iterable[PeerId], workers: Iterable[PeerId], rate: float, extra: int
) -> tuple[Audit, ...]:
    """Draw the next step's validators and their targets, uniformly and without replacement (paper, section 3.1).

    Args:
        randomness: r^t.
        members: the possible validators: full members that hold x^t.
        workers: the possible targets: those whose gradients entered step t, and peers on probation.
        rate: mean number of pairs.
        extra: further pairs, one for every time that the draw was repeated, so that aborting it never pays.

    Returns:
        Ascending by validator. At least two members are never drawn as validators.
    """
    eligible = list(members)
    count = min(how_many(randomness, "audits", rate) + extra, most_audits(len(eligible)))
    targets = ranking(randomness, "target", workers)[:count]
    validators = ranking(randomness, "validator", [peer for peer in eligible if peer not in targets])
    return tuple(sorted(Audit(v, t) for v, t in zip(validators, targets, strict=False)))


def seat_audits(
    randomness: bytes, audits: tuple[Audit, ...], members: Collection[PeerId], voters: Collection[PeerId]
) -> tuple[Audit, ...]:
    """Return the audits of one attempt: those whose validator is no member go to others, so that none is lost with it.

    Args:
        randomness: that of the roster.
        audits: those of the roster.
        members: of the attempt.
        voters: those of the members that may validate.

    Returns:
        Ascending by validator. At least two voters are no validators; an audit for which none is left over lapses.
    """
    stay = [audit for audit in audits if audit.validator in members]
    if len(stay) == len(audits):
        return audits
    drawn = {peer for audit in audits for peer in (audit.validator, audit.target)}
    room = max(0, len(voters) - 2 - len(stay))
    deputies = ranking(randomness, "deputy", sorted(set(voters) - drawn))[:room]
    lost = [audit.target for audit in audits if audit.validator not in members]
    return tuple(sorted([*stay, *(Audit(v, t) for v, t in zip(deputies, lost, strict=False))]))


def draw_witnessed(randomness: bytes, owners: Iterable[PeerId], rate: float) -> tuple[PeerId, ...]:
    """Draw the owners whose own part a witness checks in this step (r^t, so no owner knows before it aggregates)."""
    return tuple(ranking(randomness, "witnessed", owners)[: how_many(randomness, "witnesses", rate)])


def witness_of(randomness: bytes, owner: PeerId, voters: Iterable[PeerId]) -> PeerId | None:
    """Draw the witness of an owner's own part among the other voters, which alone may accuse; None for a lone peer."""
    others = ranking(randomness, "witness", (peer for peer in voters if peer != owner), owner)
    return others[0] if others else None


def enough_auditors(voters: int) -> int:
    """Return how many auditors each part needs for one of them to be honest, if more than half of the voters are.

    At most (voters - 1) // 2 voters lie. An owner that lies is one of them, and none of its own auditors.
    """
    return max(0, (voters - 1) // 2)


def draw_auditors(
    randomness: bytes, owners: Iterable[PeerId], voters: Iterable[PeerId], count: int
) -> tuple[tuple[PeerId, ...], ...]:
    """Draw the peers that aggregate each owner's part once more: the `count` voters behind it in an order that r^t
    draws, which closes in a circle. So every voter audits about as many parts.

    Args:
        randomness: r^t, so that nobody knows before all aggregates are committed to.
        owners: in the order of their parts; each is a voter.
        voters: who may accuse.
        count: fewer than there are voters; for 0 nothing is drawn.
    """
    if count == 0:
        return ()
    circle = ranking(randomness, "auditor", voters)
    place = {peer: index for index, peer in enumerate(circle)}
    twice = circle + circle
    return tuple(tuple(twice[place[owner] + 1 : place[owner] + 1 + count]) for owner in owners)


def all_accomplices(voters: int, liars: int, count: int) -> float:
    """Return the chance that all `count` auditors of a liar's part are other liars, of whom there are `liars` - 1 among
    the other voters: then its aggregate may be anything."""
    return math.comb(liars - 1, count) / math.comb(voters - 1, count)


def relays_between(attempt_id: bytes, sender: PeerId, receiver: PeerId, members: Iterable[PeerId]) -> list[PeerId]:
    """Draw the third peers through which a part travels that did not arrive directly."""
    others = (peer for peer in members if peer not in (sender, receiver))
    return ranking(attempt_id, "relay", others, sender, receiver)[:RELAYS]


VOTERS_NEEDED = next(voters for voters in count() if most_audits(voters) > 0)
"""The fewest voters of which a validator is drawn."""


def nobody_is_validated(voters: int, rate: float) -> str | None:
    """Return why no validator is drawn, or None where one is, in this step or in a later one.

    Args:
        voters: members of the roster that are not on probation.
        rate: mean number of validators a step, by the run's manifest.
    """
    if rate <= 0:
        return "nobody is validated: the run is set to 0 validators"
    if voters < VOTERS_NEEDED:
        return f"nobody is validated: {voters} voter{'' if voters == 1 else 's'}, {VOTERS_NEEDED} are needed"
    return None
