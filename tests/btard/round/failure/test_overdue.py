"""Members that keep most of the others waiting are left out soon, and nobody else is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from btard.behaviour import Behaviour, Outgoing, View
from btard.identity import Envelope, IdentityKey, Malformed, MessageKind, PeerId
from btard.identity.codec import Reader, encode
from btard.round.actions import Send
from btard.round.attempt.attempt import Attempt
from btard.round.attempt.pace import Pace
from btard.round.attempt.seats import Seats
from btard.round.context import StepContext
from btard.round.failure.overdue import HEARING, Impatience, kept_waiting, miss_reports, proves_delay
from btard.round.messages.accusations import MAX_OVERDUE, Overdue, Report, Waiters
from btard.round.messages.bodies import NOBODY, Commit, Phase
from btard.round.roster import Roster
from tests.btard.round.swarm import RULES, Swarm, keys, voids

COUNT = 7
KEYS = keys(COUNT)
MEMBERS = tuple(key.peer_id for key in KEYS)
GENESIS = Swarm(COUNT).genesis
NEWCOMER = 5
ROSTER = replace(GENESIS, probation=((MEMBERS[NEWCOMER], 9),))
LATE = 6


def seats(roster: Roster = ROSTER, me: int = 0) -> Seats:
    return Seats(RULES, roster, 0, MEMBERS, MEMBERS[me])


def word(author: int, late: int = LATE, *, of: Seats | None = None) -> Envelope:
    """Return what a member says of one that is late."""
    place = of or seats()
    body = Overdue(place.attempt_id, MEMBERS[late]).encode()
    return Envelope.sign(KEYS[author], run=RULES.run, step=place.roster.step, kind=MessageKind.OVERDUE, body=body)


def said(*authors: int, late: int = LATE, me: int = 0) -> Impatience:
    heard = Impatience(seats(me=me))
    for author in authors:
        heard.add(word(author, late))
    return heard


def report(*shown: Waiters) -> Report:
    return Report(Phase.COMMIT, False, MEMBERS, (), None, (), overdue=shown)


def test_most_voters_prove_it_and_fewer_do_not() -> None:
    assert said(0, 1, 2).proven == (), "of six voters three are not most"
    (shown,) = said(0, 1, 2, 3).proven
    attempt = Attempt(seats(me=1))
    assert proves_delay(attempt, report(shown))
    assert kept_waiting(attempt, {MEMBERS[0]: report(shown)}) == {(MEMBERS[i], MEMBERS[LATE]) for i in range(4)}


def test_silence_of_fewer_than_half_is_told_once() -> None:
    context = StepContext(RULES, ROSTER, KEYS[0], Behaviour(), b"", NOBODY, None, Pace(RULES.delay_bound_seconds))
    heard = Impatience(seats())
    assert miss_reports(context, seats(), heard, MEMBERS[3:]) == [], "four of seven are silent: all may be slow"
    told = miss_reports(context, seats(), heard, MEMBERS[4:])
    assert [send.peers for send in told if isinstance(send, Send)] == [seats().others] * 3
    assert heard.said_by(MEMBERS[0]) == set(MEMBERS[4:])
    assert miss_reports(context, seats(), heard, MEMBERS[4:]) == []


def test_newcomers_and_other_attempts_count_for_nothing() -> None:
    heard = said(0, 1, 2, NEWCOMER)
    heard.add(word(3, of=seats(GENESIS)))
    heard.add(word(0))
    assert heard.proven == ()
    heard.add(word(3))
    assert heard.proven != ()


def test_a_member_does_not_prove_its_own_delay() -> None:
    assert said(0, 1, 2, 3, late=LATE, me=LATE).proven == ()


def test_a_word_of_oneself_asks_for_patience() -> None:
    heard = said(LATE)
    assert heard.proven == () and heard.said_by(MEMBERS[LATE]) == set()
    assert heard.most_wait(MEMBERS[LATE], 1.0) == 1.0 + HEARING * RULES.delay_bound_seconds
    assert heard.most_wait(MEMBERS[1], 1.0) == 1.0


@pytest.mark.parametrize(
    "forge",
    [
        lambda pairs: [(place, bytes(64)) for place, _ in pairs],
        lambda pairs: [(place, pairs[0][1]) for place, _ in pairs],
        lambda pairs: [(place + 1, signature) for place, signature in pairs],
        lambda pairs: [(place + 100, signature) for place, signature in pairs],
        lambda pairs: pairs[:3],
    ],
    ids=["no signatures", "one for all", "of others", "of nobody", "too few"],
)
def test_no_forged_proof_counts(forge: Callable[[list[tuple[int, bytes]]], list[tuple[int, bytes]]]) -> None:
    (shown,) = said(0, 1, 2, 3).proven
    forged = report(Waiters(shown.peer, tuple(forge(list(shown.signatures)))))
    assert not proves_delay(Attempt(seats()), forged)


def test_a_proof_about_one_is_none_about_another() -> None:
    (shown,) = said(0, 1, 2, 3).proven
    for other in (MEMBERS[4], MEMBERS[0]):
        assert not proves_delay(Attempt(seats()), report(Waiters(other, shown.signatures)))


def test_it_goes_round_and_is_bounded() -> None:
    shown = said(0, 1, 2, 3).proven
    again = Report.decode(report(*shown).encode())
    assert again.overdue == shown
    everyone = tuple(Waiters(peer, ()) for peer in sorted(key.peer_id for key in keys(MAX_OVERDUE + 1)))
    for bad in (everyone, (shown[0], shown[0])):
        with pytest.raises(Malformed):
            Report.decode(report(*bad).encode())
    for places in ((1, 1), (2, 1), (-1,), (1024,)):
        body = encode([bytes(MEMBERS[LATE]), [[place, bytes(64)] for place in places]])
        with pytest.raises(Malformed):
            Waiters.read(Reader(body, limit=4096))


def test_a_dead_member_costs_seconds_and_not_the_deadlines() -> None:
    for moment in (0.05, 0.105, 0.115, 0.125, 0.135, 0.145, 0.155):
        swarm = Swarm(COUNT, steps=4)
        swarm.network.at(0.2 + moment, swarm.peers[3].crash)
        swarm.run()
        swarm.check_agreement()
        living = [peer for peer in swarm.peers if not peer.crashed]
        assert all(len(peer.finished()) == 4 for peer in living)
        assert swarm.network.now < 3 * RULES.delay_bound_seconds, moment


def test_only_a_late_commitment_is_forgiven_in_the_first_step() -> None:
    loading, dead = Swarm(COUNT, steps=2), Swarm(COUNT, steps=2)
    loading.peers[3].compute_seconds = 0.9 * RULES.commit_seconds
    loading.network.at(1.0, lambda: setattr(loading.peers[3], "compute_seconds", 0.1))
    dead.network.at(0.125, dead.peers[3].crash)
    for swarm in (loading, dead):
        swarm.run()
    assert all(len(peer.finished()) == 2 and not voids(peer) for peer in loading.peers)
    assert dead.network.now < 3 * RULES.delay_bound_seconds


class Slanders(Behaviour):
    """Says of an honest member that it is late: to all, or to one of them; and would leave it out."""

    def __init__(self, victim: PeerId, only: PeerId | None = None) -> None:
        self.victim, self.only = victim, only

    def attach(self, key: IdentityKey) -> None:
        self.key = key

    def commit(self, step: int, commit: Commit, view: View) -> Commit | None:
        return replace(commit, laggards=(self.victim,))

    def transmit(
        self, receiver: PeerId, envelope: Envelope, sign: Callable[[bytes], Envelope]
    ) -> Sequence[Outgoing] | None:
        if envelope.kind is not MessageKind.COMMIT or self.only not in (None, receiver):
            return None
        body = Overdue(Commit.decode(envelope.body).attempt_id, self.victim).encode()
        place = {"run": envelope.run, "step": envelope.step, "attempt": envelope.attempt}
        lie = Envelope.sign(self.key, kind=MessageKind.OVERDUE, body=body, **place)  # type: ignore[arg-type]
        return [Outgoing(lie.encode()), Outgoing(envelope.encode())]


@pytest.mark.parametrize("only", [None, 1], ids=["to all", "to one"])
def test_almost_half_of_the_members_slander_nobody_out(only: int | None) -> None:
    behaviours = {i: Slanders(MEMBERS[0], None if only is None else MEMBERS[only]) for i in (4, 5, 6)}
    swarm = Swarm(COUNT, steps=6, behaviours=behaviours).run()
    assert all(len(peer.finished()) == 6 and not voids(peer) for peer in swarm.peers)


def test_when_all_are_slow_nobody_is_late() -> None:
    swarm = Swarm(COUNT, steps=6)

    def slow_down() -> None:
        for peer in swarm.peers:
            peer.compute_seconds = 10.0

    swarm.network.at(0.5, slow_down)
    swarm.run()
    assert all(len(peer.finished()) == 6 and not voids(peer) for peer in swarm.peers)
