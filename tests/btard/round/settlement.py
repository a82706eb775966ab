"""A failed attempt of up to nine peers, all that may be said in it, and how it is settled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from btard.behaviour import LeaveReason
from btard.hashing import digest
from btard.identity import Envelope, MessageKind, PeerId
from btard.round.attempt.attempt import Attempt
from btard.round.attempt.seats import Seats
from btard.round.draw import Audit
from btard.round.failure.resolve import Resolution, Testimony, resolve
from btard.round.messages.accusations import Charge, Fault, Report, Vote
from btard.round.messages.bodies import Commit, Leave, PartHeader, Phase, Scalars
from btard.round.roster import Roster, first_randomness
from btard.round.rules import VerificationRules
from btard.vocabulary import Eliminate
from tests.btard.round.swarm import RULES, keys

KEYS = keys(9)
PEERS = tuple(key.peer_id for key in KEYS)
FIVE = PEERS[:5]
D, E = digest(b"d"), digest(b"e")
FILL = (D,) * 5


def attempt_of(
    members: Sequence[PeerId],
    *,
    newcomers: Sequence[int] = (),
    audits: tuple[Audit, ...] = (),
    verification: VerificationRules = RULES.verification,
    gone: Sequence[PeerId] = (),
) -> Attempt:
    """Return attempt 1 of step 3, without anything received; `newcomers` (by number) have no vote, and those that are
    `gone` are members of the roster alone."""
    probation = tuple((PEERS[i], 9) for i in sorted(newcomers))
    roster = Roster(3, (*members, *gone), frozenset(), first_randomness(0, 3), audits, probation)
    rules = replace(RULES, verification=verification)
    return Attempt(Seats(rules, roster, 1, tuple(members), members[0]))


ATTEMPT = attempt_of(FIVE)


def report(
    complaints: Mapping[int, Fault] = {},
    *,
    reaction: bool = False,
    members: Sequence[PeerId] = FIVE,
    late: Sequence[int] = (),
) -> Report:
    accused = tuple(sorted((PEERS[i], fault) for i, fault in complaints.items()))
    return Report(Phase.COMMIT, reaction, tuple(members), accused, None, (), tuple(PEERS[i] for i in sorted(late)))


REACTION = report(reaction=True)


def signed(author: int, kind: MessageKind, body: bytes, *, step: int = 3, attempt: int = 1) -> Envelope:
    return Envelope.sign(KEYS[author], run=RULES.run, step=step, attempt=attempt, kind=kind, body=body)


def commit(author: int, *parts: bytes) -> Envelope:
    return signed(
        author, MessageKind.COMMIT, Commit(ATTEMPT.seats.attempt_id, D, D, (*parts, *FILL)[:5], D, b"", ()).encode()
    )


def part(author: int, number: int, part_digest: bytes) -> Envelope:
    return signed(author, MessageKind.PART, PartHeader(number, part_digest).encode())


def leave(author: int, reason: LeaveReason = LeaveReason.SHUTDOWN, attempt: int = 0) -> Envelope:
    return signed(author, MessageKind.LEAVE, Leave(reason).encode(), attempt=attempt)


def settled(
    reports: Mapping[int, Report],
    attached: Mapping[int, Sequence[Envelope]] = {},
    *,
    attempt: Attempt = ATTEMPT,
    charges: Mapping[int, Charge] = {},
    votes: Mapping[int, Vote] = {},
    banned: frozenset[PeerId] = frozenset(),
) -> Resolution:
    testimony = Testimony(
        reports={PEERS[i]: r for i, r in reports.items()},
        signed={PEERS[i]: signed(i, MessageKind.REPORT, r.encode()) for i, r in reports.items()},
        attached={PEERS[i]: tuple(found) for i, found in attached.items()},
        charges={PEERS[i]: charge for i, charge in charges.items()},
        votes={PEERS[i]: (signed(i, MessageKind.VOTE, vote.encode()), vote) for i, vote in votes.items()},
        banned=banned,
    )
    return resolve(attempt, testimony)


def who(resolution: Resolution) -> tuple[list[int], dict[int, str]]:
    """Return the members that go on and the suspended ones, by number."""
    return (
        [PEERS.index(peer) for peer in resolution.members],
        {PEERS.index(peer): reason for peer, reason in resolution.suspended},
    )


MUTUAL = attempt_of(FIVE, verification=VerificationRules(eliminate=Eliminate.MUTUAL))


def scalars(*products: float) -> bytes:
    return Scalars(ATTEMPT.seats.attempt_id, products or (0.0,) * 5, (1.0,) * 5, ()).encode()


CROWD = attempt_of(PEERS[:7], newcomers=(5, 6))
