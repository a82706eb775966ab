"""Where the run goes on once most were gone, whatever liars show that come back, too."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from btard.hashing import digest
from btard.identity import Envelope, Malformed, PeerId
from btard.identity.codec import encode
from btard.reunion.messages import MAX_PLACES, Memory, Place
from btard.reunion.reunion import MOST_MEMORIES, Reopening, quorum
from tests.btard.reunion.meeting import (
    KEYS,
    WINDOW,
    Back,
    Meeting,
    memory,
    place,
    roster,
    signed_memory,
    vote,
)
from tests.quick import quick

LIE = Place(25, digest(b"no roster"), digest(b"no state"))


def decided(meeting: Meeting) -> Reopening:
    """Return what all members have decided, which is one thing."""
    made = meeting.run()
    assert len(made) == len(meeting.members) and len(set(made)) == 1, made
    return made[0]


def test_all_that_are_back_go_on_at_once_from_the_newest_step() -> None:
    meeting = Meeting(Back(number, 20) for number in range(5))
    assert decided(meeting) == Reopening(1, place(20))
    assert max(member.decided_at for member in meeting.members) <= 3


def test_a_bare_majority_waits_for_a_window() -> None:
    meeting = Meeting(Back(number, 20) for number in range(3))
    assert decided(meeting) == Reopening(1, place(20))
    assert min(member.decided_at for member in meeting.members) > WINDOW


def test_fewer_wait_for_ever() -> None:
    assert Meeting([Back(0, 20), Back(1, 20)]).run(1000) == []


def test_votes_of_fewer_decide_nothing() -> None:
    third = signed_memory(KEYS[2], memory(20, 11))
    assert Meeting([Back(0, 20), Back(1, 20)], lambda peer, now: [third]).run(100) == []


def test_a_bare_majority_decides_with_peers_that_come_later() -> None:
    meeting = Meeting([Back(0, 20), Back(1, 20)])
    meeting.run(100)
    meeting.members.append(Back(2, 20))
    assert decided(meeting) == Reopening(1, place(20))


def test_a_step_that_few_have_finished_is_done_again() -> None:
    meeting = Meeting([Back(0, 21), *(Back(number, 20) for number in range(1, 5))])
    assert decided(meeting) == Reopening(1, place(20))


def test_a_step_that_most_have_finished_is_kept() -> None:
    meeting = Meeting([*(Back(number, 21) for number in range(3)), Back(3, 20), Back(4, 20)])
    assert decided(meeting) == Reopening(1, place(21))


def test_the_newest_state_that_somebody_has_goes_on() -> None:
    has = [{place(12)}, {place(16)}, {place(12)}, {place(14)}, set[Place]()]
    meeting = Meeting(Back(number, 20, has=has[number]) for number in range(5))
    assert decided(meeting) == Reopening(1, place(16))


def test_an_old_memory_rolls_nobody_back() -> None:
    def old(peer: PeerId, now: float) -> Iterable[Envelope]:
        return [signed_memory(KEYS[4], memory(12, 5)), vote(KEYS[4], 1, place(12))]

    meeting = Meeting([Back(0, 20), Back(1, 20)], old)
    assert meeting.run(200) == [], "an honest third may come back yet"
    meeting.members.append(Back(2, 20))
    assert decided(meeting) == Reopening(1, place(20))


def test_places_that_nobody_has_stood_in_count_for_nothing() -> None:
    def forge(peer: PeerId, now: float) -> Iterable[Envelope]:
        liars = KEYS[3:5]
        return [*(signed_memory(key, Memory((place(20), LIE))) for key in liars), *(vote(k, 1, LIE) for k in liars)]

    back = [Back(number, 20, has=(place(20), LIE)) for number in range(3)]
    assert decided(Meeting(back, forge)) == Reopening(1, place(20)), "whatever state a liar serves"


def test_a_vote_said_twice_counts_for_none() -> None:
    def twice(peer: PeerId, now: float) -> Iterable[Envelope]:
        first = peer == KEYS[0].peer_id
        return [signed_memory(KEYS[4], memory(20, 15)), vote(KEYS[4], 1, place(20) if first else place(19))]

    meeting = Meeting([Back(0, 20), Back(1, 20)], twice)
    assert meeting.run(100) == []
    alone = Meeting([Back(0, 20), Back(1, 20)], lambda peer, now: [*twice(KEYS[0].peer_id, now)])
    assert decided(alone) == Reopening(1, place(20))


def test_strangers_and_forged_signatures_are_passed_over() -> None:
    good = signed_memory(KEYS[2], memory(20, 15))
    forged = Envelope(good.run, 0, 0, good.kind, good.author, memory(20, 16).encode(), good.signature)
    other_run = Envelope.sign(KEYS[2], run=bytes(16), step=0, kind=good.kind, body=good.body)

    def show(peer: PeerId, now: float) -> Iterable[Envelope]:
        return [other_run, *(signed_memory(key, memory(20, 15)) for key in KEYS[5:]), forged, good]

    meeting = Meeting([Back(0, 20), Back(1, 20)], show)
    assert meeting.run(50) == [], "nothing is looked at behind a forged signature"
    assert {envelope.author for envelope in meeting.members[0].reunion.envelopes} == {k.peer_id for k in KEYS[:2]}


def test_a_peer_that_says_more_than_is_honest_counts_for_nothing() -> None:
    def flood(peer: PeerId, now: float) -> Iterable[Envelope]:
        return [signed_memory(KEYS[4], memory(20, 20 - number)) for number in range(20)]

    meeting = Meeting([Back(0, 20), Back(1, 20)], flood)
    assert meeting.run(50) == []
    shown = [e for e in meeting.members[0].reunion.envelopes if e.author == KEYS[4].peer_id]
    assert len(shown) == MOST_MEMORIES + 1


def begun(*numbers: int, at: int = 20) -> list[Envelope]:
    """The votes by which an incarnation has begun before."""
    return [vote(KEYS[number], 1, place(at)) for number in numbers]


def test_a_second_pause_has_another_incarnation() -> None:
    proof = begun(0, 1, 2)
    meeting = Meeting(Back(number, 24, incarnation=1, proof=proof) for number in range(5))
    assert decided(meeting) == Reopening(2, place(24))


def test_a_member_that_missed_an_incarnation_follows_its_number() -> None:
    proof = begun(0, 1, 2)
    back = [Back(0, 20, incarnation=1, proof=proof), Back(1, 20, incarnation=1, proof=proof), Back(3, 20)]
    assert decided(Meeting(back)) == Reopening(2, place(20))


def test_what_was_lost_does_not_come_back() -> None:
    """Incarnation 1 has begun at step 18, behind what members of the first one remember."""
    proof = begun(0, 1, 2, at=18)
    other = [place(step, branch=1) for step in (19, 20)]
    new = Memory((*memory(18, 10).places, *other))
    lost = memory(24, 15)
    has = (*new.places, place(24))
    back = [Back(number, 20, remembers=new, incarnation=1, proof=proof, has=has) for number in range(3)]
    old = [signed_memory(KEYS[number], lost) for number in range(5)]
    assert decided(Meeting(back, lambda peer, now: old)) == Reopening(2, other[-1])


def test_a_round_without_a_result_is_followed_by_another() -> None:
    votes = [vote(KEYS[3], 1, place(18)), vote(KEYS[4], 1, place(17))]
    memories = [signed_memory(key, memory(20, 15)) for key in KEYS[3:5]]
    meeting = Meeting([Back(0, 20), Back(1, 20, has=()), Back(2, 20, has=())])
    for number, where in ((1, place(18)), (2, place(19))):
        own = vote(KEYS[number], 1, where)
        meeting.members[number].reunion.hear(0.0, [own])
    meeting.show = lambda peer, now: [*votes, *memories]
    assert decided(meeting) == Reopening(2, place(20))


def test_quorums_have_an_honest_voter_in_common() -> None:
    for voters in range(1, 300):
        liars = (voters - 1) // 2
        assert 2 * quorum(voters) - voters > liars and quorum(voters) <= voters


@pytest.mark.parametrize("seed", quick(5, range(60), slow=15))
def test_liars_that_show_each_peer_something_else_fork_nobody(seed: int) -> None:
    drawn = random.Random(seed)
    count = drawn.choice([3, 4, 5, 7])
    liars = drawn.randint(0, (count - 1) // 2)
    newest = drawn.choice([[20], [20, 21]])
    honest = [
        Back(number, drawn.choice(newest), count=count, luck=drawn.random(), has=drawn.sample(PLACES[count], 3))
        for number in range(count - liars)
    ]
    wheres = [place(step, count) for step in (12, 19, 20, 21)] + [LIE]

    def show(peer: PeerId, now: float) -> Iterable[Envelope]:
        said: list[Envelope] = []
        for key in KEYS[count - liars : count]:
            if drawn.random() < 0.3:
                said.append(signed_memory(key, memory(drawn.choice([12, 20, 21]), 11, count), drawn.choice([0, 0, 1])))
            if drawn.random() < 0.2:
                said.append(vote(key, drawn.choice([1, 1, 2, 3]), drawn.choice(wheres)))
        return said

    meeting = Meeting(drawn.sample(honest, drawn.randint(1, len(honest))), show)
    meeting.run(drawn.randint(0, 40))
    present = {member.key.peer_id for member in meeting.members}
    meeting.members += [member for member in honest if member.key.peer_id not in present]
    made = set(meeting.run(400))
    assert len({one.place for one in made if one.incarnation == max(m.incarnation for m in made)}) == 1, made
    assert all(one.place.step >= min(newest) - 9 and one.place != LIE for one in made)
    assert len(made) == 1, made


PLACES = {count: list(memory(20, 12, count).places) for count in (3, 4, 5, 7)}


def test_bodies_go_round_and_are_read_strictly() -> None:
    assert Memory.decode(memory(20).encode()) == memory(20)
    assert Place.decode(place(3).encode()) == place(3)
    packed = [[where.step, where.roster, where.state] for where in memory(MAX_PLACES + 3).places]
    for bad in ([], packed[::-1], [packed[0], packed[0]], packed, [[1, b"", b""]], [[1, bytes(32)]], b"", 7):
        with pytest.raises(Malformed):
            Memory.decode(encode(bad))
    with pytest.raises(Malformed):
        Place.decode(encode([-1, bytes(32), bytes(32)]))
    with pytest.raises(Malformed):
        Place.decode(place(3).encode() + b"\x00")
    assert roster(3).digest == place(3).roster


def test_a_place_that_most_have_voted_for_is_to_be_had() -> None:
    """Votes cannot be taken back: a peer that has fetched a later state by then needs that one all the same."""
    early, late = Back(0, 20), Back(1, 21)
    remembering = [signed_memory(KEYS[number], memory(21)) for number in (1, 2, 3)]
    early.reunion.hear(0.0, [signed_memory(KEYS[number], memory(20)) for number in (3, 4)])
    early.reunion.tick(0.0, {place(20)})
    late.reunion.hear(0.0, remembering)
    late.reunion.tick(0.0, {place(21)})
    for member in (early, late):
        member.reunion.hear(1.0, [*remembering, vote(KEYS[2], 1, place(20))])
        assert member.reunion.chosen is None
        member.reunion.hear(1.0, [vote(KEYS[3], 1, place(20)), vote(KEYS[4], 1, place(20))])
    assert early.reunion.candidates()[0] == place(21), "the better one"
    assert early.reunion.chosen == place(20)
    assert late.reunion.chosen is None, "its own vote is for a later one"
