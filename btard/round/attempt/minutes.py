"""The minutes of a step: what its members have signed in the attempt that finished it, so that its audits outlive all
processes.

Whatever they hold is believed by signatures: more than half of the roster's voters have signed one digest of all of it,
of the training state before the step and of the roster that follows. So it may come from a file, or from anybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from btard.hashing import Payload, digest
from btard.identity import Envelope, Malformed, MessageKind, PeerId
from btard.identity.codec import as_bytes, as_fields, as_int, as_list, decode, encode
from btard.round.attempt.attempt import Attempt
from btard.round.attempt.seats import Seats
from btard.round.messages.bodies import BROADCASTS, Digest
from btard.round.roster import Roster, peer_set
from btard.round.rules import StepRules
from btard.vectors.momentum import Link
from btard.vocabulary import MAX_INCARNATIONS, MAX_PEERS

_MOST_MESSAGES = 5 * MAX_PEERS
_KINDS = (*BROADCASTS, MessageKind.AGGREGATE)


def most_minutes_bytes(following: Roster) -> int:
    """Return how many bytes minutes have at the most, without the aggregates, if such a roster follows: that of the
    step has at most twice as many voters."""
    members = 2 * len(following.members)
    return (1 << 20) + members * (12288 + 96 * members)


@dataclass(frozen=True)
class Minutes:
    """What an audit of a step looks at, beside the training state before it.

    Attributes:
        attempt: the one that finished the step, with its aggregates.
        links: what its members were last seen to submit before, where the run has momentum: what this peer has seen
            itself, and nobody can prove to it.
    """

    attempt: Attempt = field(repr=False)
    links: Mapping[PeerId, Link] = field(default_factory=dict, repr=False)

    @property
    def step(self) -> int:
        """The step that they are of."""
        return self.attempt.seats.roster.step

    @property
    def parameters(self) -> bytes:
        """The digest of the training state before the step."""
        return self.attempt.said.commits[self.attempt.seats.me].parameters

    @property
    def aggregate(self) -> memoryview:
        """The wire bytes of the aggregated vector."""
        return self.attempt.carried.flat

    def follows(self, roster: Roster) -> bool:
        """Whether more than half of the voters have signed all of this, and that a roster follows."""
        seats, said = self.attempt.seats, self.attempt.said
        right = Digest(seats.attempt_id, said.transcript(), self.parameters, roster.digest)
        return seats.roster.is_majority(peer for peer, signed in said.digests.items() if signed == right)

    def encode(self) -> bytes:
        """Return the canonical bytes, without the aggregates."""
        seats, said = self.attempt.seats, self.attempt.said
        signed = [envelope.encode() for (kind, _), envelope in said.signed.items() if kind in _KINDS]
        links = [[peer, link.count, list(link.digests)] for peer, link in sorted(self.links.items())]
        members = [bytes(peer) for peer in seats.members]
        return encode([seats.rules.incarnation or 0, seats.roster.pack(), seats.number, members, signed, links])

    @classmethod
    def decode(cls, data: bytes, aggregate: Payload, rules: StepRules, following: Roster, me: PeerId) -> Self:
        """Read the minutes of the step before that of a roster; raises Malformed for any that do not prove themselves.

        Args:
            aggregate: the wire bytes of the aggregated vector.
            rules: of the run, in any incarnation.
            me: a member of the attempt, whose own commitment must be among the messages: it names the roster of the
                step, so nobody can have made that up.
        """
        incarnation, packed, number, named, signed, links = as_fields(
            decode(data, limit=most_minutes_bytes(following)), 6
        )
        roster, members = Roster.unpack(packed), peer_set(named)
        if not set(members) <= set(roster.members) or me not in members or roster.step != following.step - 1:
            raise Malformed("minutes of another step, or of one that this peer was not in")
        rules = rules.reborn(as_int(incarnation, 0, MAX_INCARNATIONS - 1))
        attempt = Attempt(Seats(rules, roster, as_int(number, 0, 2**16 - 1), members, me))
        for item in as_list(signed, most=_MOST_MESSAGES):
            _file(attempt, Envelope.parse(as_bytes(item)))
        _check_whole(attempt)
        made = cls(attempt, dict(_link(item) for item in as_list(links, most=MAX_PEERS)))
        if not made.follows(following):
            raise Malformed("minutes that no majority has signed")
        _take_up(attempt, aggregate)
        attempt.results.randomness = following.randomness
        return made


def _file(attempt: Attempt, envelope: Envelope) -> None:
    seats = attempt.seats
    place = (seats.rules.run, seats.roster.step, seats.number)
    if (envelope.run, envelope.step, envelope.attempt) != place or envelope.author not in seats.known:
        raise Malformed("a message of another attempt is in the minutes")
    if envelope.kind is MessageKind.AGGREGATE:
        attempt.said.hear_aggregate(envelope)
        attempt.said.note_aggregate(envelope)
        return
    if envelope.kind not in BROADCASTS:
        raise Malformed("a message that is no part of minutes")
    envelope.verify()
    attempt.file(envelope)


def _check_whole(attempt: Attempt) -> None:
    """Everybody has said in this attempt what it had to, once."""
    seats, said = attempt.seats, attempt.said
    wanted = (
        (said.commits, seats.members),
        (said.reveals, seats.members),
        (said.scalars, seats.submitters),
        (said.aggregates, seats.owners),
    )
    whole = all(set(heard) >= set(authors) for heard, authors in wanted)
    if not whole or any(commit.attempt_id != seats.attempt_id for commit in said.commits.values()):
        raise Malformed("minutes that are not whole")
    if len({commit.parameters for commit in said.commits.values()}) > 1 or said.alarm:
        raise Malformed("minutes of an attempt that cannot have finished")


def _take_up(attempt: Attempt, aggregate: Payload) -> None:
    """Hold the aggregates, which their owners have signed for."""
    seats, said, carried = attempt.seats, attempt.said, attempt.carried
    if len(aggregate) != len(carried.flat):
        raise Malformed("an aggregated vector of another length")
    carried.flat[:] = aggregate
    for part, owner in enumerate(seats.owners):
        if digest(carried.aggregate(part)) != said.aggregates[owner].digest:
            raise Malformed("an aggregate that its owner has not signed for")
    carried.gathered.update(seats.owners)


def _link(value: object) -> tuple[PeerId, Link]:
    author, count, digests = as_fields(value, 3)
    (peer,) = peer_set([author])
    hashes = tuple(as_bytes(item, 32) for item in as_list(digests, most=MAX_PEERS))
    return peer, Link(as_int(count, 1, MAX_PEERS), hashes)
