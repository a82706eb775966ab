"""Attacks that a reader of the machine would try, each by hand: times, and what is said to which member."""

from __future__ import annotations

import pytest

from btard.agreement.ledger import Ledger
from btard.agreement.machine import Agreement
from btard.agreement.messages import (
    NOTHING,
    TWO_THINGS,
    Endorsement,
    Package,
    Signatures,
    Spoken,
    VectorCertificate,
    VoteRound,
    vector_digest,
)
from btard.agreement.terms import Terms
from btard.identity import PeerId
from tests.btard.agreement.model import BOUND, TOPIC, World, endorsement, peers, read, signer, statement, verify, vote
from tests.btard.agreement.story import said

JUST = 0.01
"""Seconds: less than any bound."""


def world(count: int, voters: int, liars: tuple[int, ...], delay: float = BOUND) -> World:
    """Return members that begin at once; the first ones vote, and those in these places lie."""
    everyone = peers(count)
    honest = tuple(peer for place, peer in enumerate(everyone) if place not in liars)
    made = World(Terms(TOPIC, everyone, frozenset(everyone[:voters]), BOUND), honest, lambda a, b: delay)
    for peer in honest:
        made.start(peer, 0.0, said(peer))
    return made


def decided(made: World) -> dict[PeerId, bytes]:
    """Run, and return what all honest members have decided alike; each holds what the decision names."""
    made.run()
    decisions = [machine.decision for machine in made.machines.values()]
    first = decisions[0]
    assert first is not None and all(decision == first for decision in decisions)
    for machine in made.machines.values():
        for author, digest in first.items():
            held = [one.digest for one in machine.decided.get(author, ())]
            assert digest in (NOTHING, TWO_THINGS) or held == [digest]
    return dict(first)


def junk(voter: PeerId, count: int) -> Endorsement:
    """Return one voter's endorsement of so many things that nobody has said."""
    return endorsement(voter, [Spoken(voter, bytes([number]) * 32) for number in range(count)])


def ledger(*, votes: bool) -> tuple[Ledger, Terms]:
    """Return what one of four members, three of which vote, accepts."""
    everyone = peers(4)
    terms = Terms(TOPIC, everyone, frozenset(everyone[:3]), BOUND)
    return Ledger(terms, Signatures(signer(everyone[0]), verify, read), votes=votes), terms


def test_junk_uses_up_no_place_of_true_endorsements() -> None:
    """One member has heard too many endorsements of a liar to count another: those that come with a statement count."""
    kept, terms = ledger(votes=True)
    liar = terms.members[2]
    hidden = statement(liar, b"hidden")
    chain = endorsement(liar, [hidden.item])
    assert not kept.endorse(junk(liar, 9)) and kept.endorse(chain)
    assert not kept.offer(2 * terms.window_seconds - JUST, hidden)
    assert kept.offer(2 * terms.window_seconds - JUST, hidden, [chain])


def test_a_member_without_a_vote_accepts_what_voters_do() -> None:
    """It cannot endorse: what it shows voters at the end of a window comes too late for them."""
    made = world(4, 3, liars=(2,))
    liar, voteless = made.terms.members[2:]
    made.lie(made.terms.window_seconds - JUST, voteless, Package((statement(liar, b"hidden"),)))
    assert decided(made)[liar] == NOTHING


@pytest.mark.parametrize("votes", [True, False])
def test_a_late_certificate_divides_no_member_without_a_vote(votes: bool) -> None:
    """A voter that accepts one endorses it, so others accept it a window later; a member without a vote cannot."""
    kept, terms = ledger(votes=votes)
    vector = dict.fromkeys(terms.members, NOTHING)
    cast = tuple(vote(peer, vector_digest(vector), VoteRound.SECOND) for peer in terms.members[1:3])
    certificate = VectorCertificate(tuple(vector.items()), cast)
    first = terms.certificate_until(0)
    assert not kept.certify(first + JUST, certificate)
    assert kept.certify(first - JUST, certificate) is votes
    if not votes:
        assert kept.certify(first - JUST, certificate, [endorsement(terms.members[0], [certificate.item])])


def test_a_certified_third_statement_is_held() -> None:
    """One member holds two statements of a liar when most have voted for a third: it decides, and soon."""
    made = world(4, 4, liars=(3,), delay=JUST)
    slow, liar = made.terms.members[2:]
    made.delay = lambda a, b: BOUND if slow in (a, b) else JUST
    third = statement(liar, b"third")
    items = [third.item, *(statement(one, said(one)).item for one in made.honest)]
    last = vote(liar, vector_digest({item.author: item.digest for item in items if item.author}))
    for peer in made.honest[:2]:
        made.lie(0.0, peer, Package((third,)))
        made.lie(BOUND, peer, Package(endorsements=(endorsement(liar, items),), votes=(last,)))
    made.lie(0.0, slow, Package((statement(liar, b"first"), statement(liar, b"second"))))
    assert decided(made)[liar] == third.digest
    assert max(made.decided_at.values()) < 5 * BOUND


def test_a_second_statement_hides_no_certified_one() -> None:
    """After it has voted a member hears more of a liar; what it decides still names the first statement."""
    made = world(3, 3, liars=(2,), delay=BOUND / 2)
    second, liar = made.terms.members[1:]
    one, two = statement(liar, b"first"), statement(liar, b"second")
    items = [one.item, *(statement(peer, said(peer)).item for peer in made.honest)]
    vector = {item.author: item.digest for item in items if item.author}
    for peer in made.honest:
        made.lie(0.0, peer, Package((one,)))
        made.lie(0.0, peer, Package(endorsements=(endorsement(liar, items),)))
        made.lie(0.0, peer, Package(votes=(vote(liar, vector_digest(vector)),)))
    made.lie(BOUND + JUST, second, Package((two,)))
    assert decided(made)[liar] == one.digest


def test_a_statement_reaches_a_voteless_member_after_a_decision() -> None:
    """The only voter decides at once what it hears; another member asks for it when statements are late already."""
    everyone = peers(3)
    voter, voteless, liar = everyone
    made = World(Terms(TOPIC, everyone, frozenset({voter}), BOUND), (voter, voteless), lambda a, b: BOUND)
    made.start(voter, BOUND, said(voter))
    made.start(voteless, 0.0, said(voteless))
    told = statement(liar, b"said to one")
    made.lie(1.9 * BOUND, voter, Package((told,)))
    assert decided(made)[liar] == told.digest
    assert max(made.decided_at.values()) < made.terms.most_seconds


def test_two_pairs_of_statements_are_two_things_to_all() -> None:
    """Each voter holds two statements of the liar, no two the same: none has been endorsed by enough."""
    made = world(4, 3, liars=(2,))
    first, second, liar = made.terms.members[:3]
    shown = [statement(liar, body) for body in (b"p", b"q", b"r", b"s")]
    made.lie(JUST, first, Package(tuple(shown[:2])))
    made.lie(JUST, second, Package(tuple(shown[2:])))
    assert decided(made)[liar] == TWO_THINGS


def test_members_are_asked_in_their_order() -> None:
    """Else what happens would depend on the process, in which sets have an order of their own."""
    everyone = peers(16)
    terms = Terms(TOPIC, everyone, frozenset(everyone), BOUND)
    signatures = Signatures(signer(everyone[0]), verify, read)
    machine = Agreement(terms, everyone[0], signatures, lambda statements: frozenset())
    item = statement(everyone[15], b"elsewhere").item
    told = tuple(endorsement(voter, [item]) for voter in everyone[:0:-1])
    outs = machine.hear(0.0, everyone[15], Package(endorsements=told))
    assert [out.receivers for out in outs] == [(voter,) for voter in everyone[1:]]


def test_a_member_carries_one_endorsement_of_a_voter() -> None:
    """A liar endorses one thing again and again, each time with junk: it is not multiplied."""
    machine, terms, liar = alone()
    hidden = statement(liar, b"hidden")
    machine.start(0.0, statement(terms.members[0], b"own"))
    machine.hear(JUST, liar, Package((hidden,)))
    for item in junk(liar, 5).items:
        machine.hear(JUST, liar, Package(endorsements=(endorsement(liar, [hidden.item, item]),)))
    carried = [out.message for out in machine.tick(terms.window_seconds) if hidden in out.message.statements]
    assert carried and all(1 < len(package.endorsements) <= 3 for package in carried)


def test_what_is_kept_for_a_certificate_is_bounded() -> None:
    """A liar that has used up its endorsements has no more statements kept, be they endorsed or not."""
    machine, terms, liar = alone()
    machine.start(0.0, statement(terms.members[0], b"own"))
    machine.hear(JUST, liar, Package(endorsements=(junk(liar, 7),)))
    for number in range(100):
        shown = statement(liar, bytes([number]))
        machine.hear(JUST, liar, Package((shown,), None, (endorsement(liar, [shown.item]),)))
    assert len(machine._ledger.accepted) == 3
    assert not machine._ledger._spare


def test_a_member_that_lacks_a_certified_thing_just_waits() -> None:
    """Voters that hold it are gone: time alone will not bring it, and no deadline passes again and again."""
    machine, terms, liar = alone()
    machine.start(0.0, statement(terms.members[0], b"own"))
    vector = {peer: statement(peer, b"?").digest for peer in terms.members}
    votes = tuple(vote(peer, vector_digest(vector)) for peer in terms.members)
    machine.hear(JUST, liar, Package(certificate=VectorCertificate(tuple(vector.items()), votes)))
    while machine.deadline < 10 * terms.most_seconds:
        now = machine.deadline
        machine.tick(now)
        assert machine.deadline > now
    assert machine.decision is None


def alone() -> tuple[Agreement, Terms, PeerId]:
    """Return the machine of the first of three, and the last member, which lies."""
    everyone = peers(3)
    terms = Terms(TOPIC, everyone, frozenset(everyone), BOUND)
    signatures = Signatures(signer(everyone[0]), verify, read)
    return Agreement(terms, everyone[0], signatures, lambda statements: frozenset()), terms, everyone[2]
