"""Minutes prove themselves: whatever a peer is shown of a step is what its members have signed, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from btard.identity import Envelope, Malformed, MessageKind
from btard.identity.codec import decode, encode
from btard.round.attempt.minutes import Minutes, most_minutes_bytes
from btard.round.messages.bodies import Digest, Scalars
from btard.round.roster import Roster
from btard.round.work.examination import examine
from btard.vectors.partition import from_wire
from tests.btard.round.swarm import RULES, Swarm, keys, rules_of, seeded_gradient

STEP = 2
KEYS = keys(5)
RUN_RULES = rules_of(5)
MOMENTUM = replace(RULES, verification=replace(RULES.verification, momentum=0.5))
Fields = list[Any]


@cache
def of_step() -> tuple[Minutes, Roster]:
    """Return what a peer holds of a step, and the roster that follows."""
    peer = Swarm(5, steps=STEP + 1).run().peers[0]
    minutes, following = peer.session.legacy.minutes(STEP + 1), peer.roster
    assert minutes is not None and following is not None
    return minutes, following


def read(change: Callable[[Fields], None] = lambda fields: None, *, me: int = 1) -> Minutes:
    """Return what a peer makes of minutes in which something was changed."""
    minutes, following = of_step()
    fields = decode(minutes.encode(), limit=1 << 20)
    change(fields)
    return Minutes.decode(encode(fields), minutes.aggregate, RUN_RULES, following, KEYS[me].peer_id)


def changed(kind: MessageKind, author: int, made: Callable[[Envelope], Envelope | None]) -> Callable[[Fields], None]:
    """Return what replaces one member's message, or takes it out."""

    def change(fields: Fields) -> None:
        messages = [Envelope.parse(data) for data in fields[4]]
        place = (kind, KEYS[author].peer_id)
        kept = [made(one) if (one.kind, one.author) == place else one for one in messages]
        assert kept != messages
        fields[4] = [one.encode() for one in kept if one is not None]

    return change


def signed(envelope: Envelope, body: bytes, **named: Any) -> Envelope:
    """Return what the same author signs in the same place."""
    key = next(key for key in KEYS if key.peer_id == envelope.author)
    place = {"run": envelope.run, "step": envelope.step, "attempt": envelope.attempt, "kind": envelope.kind, **named}
    return Envelope.sign(key, body=body, **place)


def test_what_is_read_gives_the_same_findings() -> None:
    minutes, following = of_step()
    again = read()
    record, attempt = minutes.attempt, again.attempt
    assert attempt.said.transcript() == record.said.transcript() and bytes(again.aggregate) == bytes(minutes.aggregate)
    assert attempt.results.randomness == record.results.randomness == following.randomness
    assert len(minutes.encode()) <= most_minutes_bytes(following) and again.step == STEP and again.follows(following)
    target = record.seats.submitters[0]
    aggregate = from_wire(minutes.aggregate, RULES.wire)
    for vector in (seeded_gradient(b"another one", aggregate), aggregate):
        assert examine(attempt, target, vector) == examine(record, target, vector)


def test_what_members_were_seen_to_submit_goes_round() -> None:
    peer = Swarm(5, steps=STEP + 1, rules=MOMENTUM).run().peers[0]
    minutes, following = peer.session.legacy.minutes(STEP + 1), peer.roster
    assert minutes is not None and following is not None and minutes.links
    again = Minutes.decode(minutes.encode(), minutes.aggregate, rules_of(5, MOMENTUM), following, KEYS[0].peer_id)
    assert again.links == minutes.links


def other_scalars(envelope: Envelope) -> Envelope:
    scalars = envelope.read(Scalars)
    return signed(envelope, replace(scalars, norms=tuple(2 * norm for norm in scalars.norms)).encode())


LIES: dict[str, Callable[[Fields], None]] = {
    "another number than was published": changed(MessageKind.SCALARS, 2, other_scalars),
    "a commitment of another run": changed(MessageKind.COMMIT, 2, lambda e: signed(e, e.body, run=bytes(16))),
    "a commitment of another step": changed(MessageKind.COMMIT, 2, lambda e: signed(e, e.body, step=e.step - 1)),
    "no commitment": changed(MessageKind.COMMIT, 2, lambda e: None),
    "no share": changed(MessageKind.REVEAL, 2, lambda e: None),
    "a false signature": changed(MessageKind.COMMIT, 2, lambda e: replace(e, signature=bytes(64))),
    "another aggregate": changed(MessageKind.AGGREGATE, 2, lambda e: signed(e, encode([bytes(32)]))),
    "a message that nobody reads": changed(MessageKind.REVEAL, 2, lambda e: signed(e, e.body, kind=MessageKind.ASK)),
    "another incarnation": lambda fields: fields.__setitem__(0, 1),
    "another attempt": lambda fields: fields.__setitem__(2, 1),
    "fewer members": lambda fields: fields[3].pop(),
    "no messages": lambda fields: fields[4].clear(),
    "a field too few": lambda fields: fields.pop(),
}


@pytest.mark.parametrize("lie", LIES)
def test_nothing_else_than_was_signed_is_read(lie: str) -> None:
    with pytest.raises(Malformed):
        read(LIES[lie])


def test_minutes_changed_anywhere_are_refused_or_the_same() -> None:
    minutes, following = of_step()
    whole, same = minutes.encode(), minutes.attempt.said.transcript()
    for place in range(0, len(whole), 211):
        data = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        try:
            again = Minutes.decode(data, minutes.aggregate, RUN_RULES, following, KEYS[0].peer_id)
        except Malformed:
            continue
        assert again.attempt.said.transcript() == same, place


def without_digests(count: int) -> Callable[[Fields], None]:
    """Return what leaves the last word of so many members out."""

    def change(fields: Fields) -> None:
        messages = [Envelope.parse(data) for data in fields[4]]
        silent = {key.peer_id for key in KEYS[5 - count :]}
        kept = [one for one in messages if one.kind is not MessageKind.DIGEST or one.author not in silent]
        fields[4] = [one.encode() for one in kept]

    return change


def test_most_voters_must_have_signed_all_of_it() -> None:
    assert read(without_digests(2)).step == STEP
    with pytest.raises(Malformed, match="no majority"):
        read(without_digests(3))


def test_most_voters_must_have_signed_what_follows() -> None:
    minutes, following = of_step()
    other = replace(following, banned=frozenset({KEYS[4].peer_id}))
    assert not minutes.follows(other)
    with pytest.raises(Malformed, match="no majority"):
        Minutes.decode(minutes.encode(), minutes.aggregate, RUN_RULES, other, KEYS[0].peer_id)


def test_an_aggregate_is_what_its_owner_signed() -> None:
    minutes, following = of_step()
    for data in (bytes([minutes.aggregate[0] ^ 1]) + bytes(minutes.aggregate[1:]), bytes(minutes.aggregate[:-1])):
        with pytest.raises(Malformed, match="aggregate"):
            Minutes.decode(minutes.encode(), data, RUN_RULES, following, KEYS[0].peer_id)


def test_a_peer_that_was_not_there_reads_nothing() -> None:
    minutes, following = of_step()
    stranger = next(key.peer_id for key in keys(6) if key.peer_id not in following.members)
    with pytest.raises(Malformed, match="not in"):
        Minutes.decode(minutes.encode(), minutes.aggregate, RUN_RULES, following, stranger)


def test_a_digest_of_another_state_before_counts_for_nothing() -> None:
    def other(envelope: Envelope) -> Envelope:
        return signed(envelope, replace(envelope.read(Digest), parameters=bytes(32)).encode())

    def change(fields: Fields) -> None:
        for author in range(3):
            changed(MessageKind.DIGEST, author, other)(fields)

    with pytest.raises(Malformed, match="no majority"):
        read(change)
