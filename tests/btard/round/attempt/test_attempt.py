"""What an attempt keeps: the owners of parts, what a message must look like, and which payloads get a buffer."""

from __future__ import annotations

import dataclasses
import functools

import pytest

from btard.hashing import digest
from btard.identity import Envelope, MessageKind
from btard.round.attempt.attempt import Attempt
from btard.round.attempt.seats import Seats, attempt_id_of
from btard.round.draw import Audit
from btard.round.messages.bodies import Commit, PartHeader, Reveal
from btard.round.roster import Roster, first_randomness
from tests.btard.round.swarm import RULES, keys

KEYS = keys(6)
PEERS = tuple(key.peer_id for key in KEYS)


def roster(step: int = 3, **fields: object) -> Roster:
    made = Roster(step, PEERS, frozenset(), first_randomness(step, 0))
    return dataclasses.replace(made, **fields)  # type: ignore[arg-type]


def attempt(made: Roster | None = None, *, me: int = 0, number: int = 0) -> Attempt:
    return Attempt(Seats(RULES, made or roster(), number, PEERS, PEERS[me]))


def test_ownership_rotates_with_the_randomness() -> None:
    orders = {attempt(roster(step)).seats.owners for step in range(20)}
    assert len(orders) > 15
    assert all(sorted(order) == list(PEERS) for order in orders)
    first = {order[0] for order in orders}
    assert len(first) == len(PEERS), "everyone owns the first part now and then"


def test_validators_send_nothing_and_newcomers_own_nothing() -> None:
    made = attempt(roster(audits=(Audit(PEERS[1], PEERS[2]),), probation=((PEERS[4], 9),)))
    assert set(made.seats.submitters) == set(PEERS) - {PEERS[1]}
    assert set(made.seats.workers) == set(made.seats.owners) == set(PEERS) - {PEERS[1], PEERS[4]}
    assert made.seats.voters == set(PEERS) - {PEERS[4]}
    assert made.seats.partition.count == 4


def test_a_deputy_sits_the_attempt_out_and_examines_the_target() -> None:
    drawn = roster(audits=(Audit(PEERS[1], PEERS[2]),), probation=((PEERS[4], 9),))
    there = tuple(peer for peer in PEERS if peer != PEERS[1])
    seats = [Seats(RULES, drawn, 1, there, me) for me in there]
    (deputy,) = (each for each in seats if each.target is not None)
    assert deputy.target == PEERS[2] and deputy.me in {PEERS[0], PEERS[3], PEERS[5]}
    assert all(each.validators == {deputy.me: PEERS[2]} for each in seats)
    assert deputy.me not in seats[0].submitters and deputy.my_part is None and deputy.me in deputy.voters


def test_the_attempt_id_names_run_roster_number_and_members() -> None:
    plain = attempt_id_of(RULES, roster(), 0, PEERS)
    others = [
        attempt_id_of(dataclasses.replace(RULES, nonce=b"another-run-0000"), roster(), 0, PEERS),
        attempt_id_of(RULES, roster(4), 0, PEERS),
        attempt_id_of(RULES, roster(), 1, PEERS),
        attempt_id_of(RULES, roster(), 0, PEERS[1:]),
    ]
    assert len({plain, *others}) == 5


def test_a_second_message_of_a_kind_is_a_contradiction() -> None:
    made = attempt()
    one, other = (
        Envelope.sign(KEYS[1], run=RULES.run, step=3, kind=MessageKind.REVEAL, body=Reveal(share, bytes(32)).encode())
        for share in (bytes(32), digest(b"other"))
    )
    made.file(one)
    made.file(one)
    assert not made.said.contradictions and not made.alarm
    made.file(other)
    assert made.said.contradictions == {PEERS[1]: (one, other)} and made.alarm
    assert made.said.reveals[PEERS[1]].share == bytes(32)


def test_memory_is_given_for_owed_parts_alone() -> None:
    """Whatever is announced: no more buffers than there are rows of the own part."""
    made = attempt()
    length = made.seats.partition.length(made.seats.my_part or 0)
    for sender in range(1, 6):
        for author in range(6):
            for part in range(made.seats.partition.count + 2):
                body = PartHeader(part, bytes(32)).encode()
                header = Envelope.sign(KEYS[author], run=RULES.run, step=3, kind=MessageKind.PART, body=body)
                made.accept(PEERS[sender], header, length)
    assert set(made.carried.in_flight) == {
        (PEERS[i], (MessageKind.PART, PEERS[i], made.seats.my_part)) for i in range(1, 6)
    }


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_peer_among_few_has_parts_that_cover_everything(count: int) -> None:
    few = PEERS[:count]
    made = Attempt(Seats(RULES, roster(members=few), 0, few, few[0]))
    assert sum(made.seats.partition.length(part) for part in range(made.seats.partition.count)) == 4 * RULES.dimension


def test_a_row_asked_for_convicts_an_author_of_two_faces() -> None:
    """This peer was told another commitment than those that the row fits: without a proof it would complain alone."""
    made = attempt()
    author, part = KEYS[2], (made.seats.my_part or 0) + 1
    length, others = made.seats.partition.length(part), tuple(digest(bytes([i])) for i in range(6))
    told = Commit(made.seats.attempt_id, bytes(32), bytes(32), others, bytes(32), b"", ())
    sign = functools.partial(Envelope.sign, author, run=RULES.run, step=3, attempt=0)
    made.file(sign(kind=MessageKind.COMMIT, body=told.encode()))
    row = bytes(length)
    header = sign(kind=MessageKind.PART, body=PartHeader(part, digest(row)).encode())
    for holder in (PEERS[2], PEERS[3]):
        made.carried.ask((holder,), (MessageKind.PART, PEERS[2], part))
        assert made.accept(holder, header, length) is not None
        assert made.complete(holder, header, digest(row)) is None and made.alarm is (holder == PEERS[2])
        convicted = [(commit.author, shown) for commit, shown in made.said.mismatches()]
        assert convicted == ([(PEERS[2], header)] if holder == PEERS[2] else [])
        made = attempt()
        made.file(sign(kind=MessageKind.COMMIT, body=told.encode()))
