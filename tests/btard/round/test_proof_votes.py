"""Evidence by votes: those of most members stand for the bytes, and no others do."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import pytest

from btard.hashing import digest
from btard.identity import Envelope, IdentityKey, MessageKind
from btard.round.attempt.seats import attempt_id_of
from btard.round.evidence.evidence import Evidence, Offence, Scene
from btard.round.failure.resolve import condemns
from btard.round.messages.accusations import Ballot, Charge, ChargeKind, Opinion, Report, Vote
from btard.round.messages.bodies import Phase
from btard.round.proof import Unproven, verify
from tests.btard.round.bans import BY_SIGNATURE, COUNT, KEYS, PEERS, SWARMS, changed, evidence_of
from tests.btard.round.swarm import RULES, Swarm


def votes_of(evidence: Evidence) -> list[Envelope]:
    return [envelope for envelope in evidence.envelopes if envelope.kind is MessageKind.VOTE]


def with_votes(evidence: Evidence, votes: Iterable[Envelope]) -> Evidence:
    others = [envelope for envelope in evidence.envelopes if envelope.kind is not MessageKind.VOTE]
    return changed(evidence, envelopes=(*others, *votes), rows=(), aggregates=())


VOTED = [offence for offence in SWARMS if offence not in BY_SIGNATURE]
voted = pytest.mark.parametrize("offence", sorted(VOTED), ids=lambda offence: offence.name)


@voted
def test_a_majority_of_votes_stands_for_bytes_left_out(offence: Offence) -> None:
    evidence = evidence_of(offence)
    votes = votes_of(evidence)
    assert len(votes) >= 5
    assert "signed votes of 4 of 7" in verify(with_votes(evidence, votes[:4]))
    with pytest.raises(Unproven, match="only 3 of 7"):
        verify(with_votes(evidence, votes[:3]))
    with pytest.raises(Unproven, match="only 3 of 7"):
        verify(with_votes(evidence, [*votes[:3], votes[0], votes[1]]))


@voted
def test_votes_of_strangers_and_of_other_courts_do_not_count(offence: Offence) -> None:
    evidence = evidence_of(offence)
    votes = votes_of(evidence)
    model = votes[0]
    place = {"run": model.run, "step": model.step, "attempt": model.attempt, "kind": MessageKind.VOTE}
    strangers = [
        Envelope.sign(IdentityKey.from_seed(digest(bytes([i]))), body=model.body, **place)  # type: ignore[arg-type]
        for i in range(9)
    ]
    with pytest.raises(Unproven, match="only 3 of 7"):
        verify(with_votes(evidence, [*votes[:3], *strangers]))
    key = next(key for key in KEYS if key.peer_id == votes[3].author)
    other_court = dataclasses.replace(Vote.decode(model.body), attempt_id=bytes(32)).encode()
    for changed_place, body in (
        ({**place, "step": model.step + 1}, model.body),
        ({**place, "attempt": model.attempt + 1}, model.body),
        (place, other_court),
    ):
        vote = Envelope.sign(key, body=body, **changed_place)  # type: ignore[arg-type]
        with pytest.raises(Unproven, match=r"another (court|step or attempt)"):
            verify(with_votes(evidence, [*votes[:3], vote]))


@voted
def test_votes_the_other_way_prove_nothing(offence: Offence) -> None:
    evidence = evidence_of(offence)
    model = votes_of(evidence)[0]
    place = {"run": model.run, "step": model.step, "attempt": model.attempt, "kind": MessageKind.VOTE}
    body = Vote.decode(model.body)
    for opinion in Opinion:
        if opinion is body.ballots[0].opinion:
            continue
        turned = dataclasses.replace(body, ballots=tuple(dataclasses.replace(b, opinion=opinion) for b in body.ballots))
        votes = [Envelope.sign(key, body=turned.encode(), **place) for key in KEYS]  # type: ignore[arg-type]
        with pytest.raises(Unproven):
            verify(with_votes(evidence, votes))


def test_a_minority_cannot_hold_a_court_of_its_own() -> None:
    """Two of seven sign that they and their victim were the whole attempt."""
    liars, victim = KEYS[:2], PEERS[6]
    members = tuple(sorted([*(key.peer_id for key in liars), victim]))
    roster = Swarm(COUNT).genesis
    charge = Charge(ChargeKind.GRADIENT, victim, 0)
    attempt_id = attempt_id_of(RULES, roster, 4, members)
    vote = Vote(attempt_id, (Ballot(liars[0].peer_id, charge, Opinion.GUILTY, ()),))
    report = Report(Phase.COMMIT, False, members, (), charge, ())

    def said(key: IdentityKey, kind: MessageKind, body: bytes) -> Envelope:
        return Envelope.sign(key, run=RULES.run, step=0, attempt=4, kind=kind, body=body)

    envelopes = [said(liars[0], MessageKind.REPORT, report.encode())]
    envelopes += [said(key, MessageKind.VOTE, vote.encode()) for key in liars]
    forged = Evidence(Offence.GRADIENT, victim, RULES, Scene(roster, 4, members), tuple(envelopes))
    with pytest.raises(Unproven, match="no majority of the roster"):
        verify(forged)


def test_members_that_the_roster_does_not_name_prove_nothing() -> None:
    evidence = evidence_of(Offence.GRADIENT)
    stranger = IdentityKey.from_seed(bytes(32)).peer_id
    members = tuple(sorted([*evidence.scene.members, stranger]))
    with pytest.raises(Unproven):
        verify(changed(evidence, scene=dataclasses.replace(evidence.scene, members=members)))


def resigned(envelope: Envelope, body: bytes) -> Envelope:
    key = next(key for key in KEYS if key.peer_id == envelope.author)
    return Envelope.sign(
        key, run=envelope.run, step=envelope.step, attempt=envelope.attempt, kind=envelope.kind, body=body
    )


@pytest.mark.parametrize(
    "said",
    [None, {"phase": Phase.MEASURE}, {"members": PEERS[1:]}],
    ids=["nothing", "before it had measured", "in another attempt"],
)
@pytest.mark.parametrize("numbers", [True, False], ids=["with the numbers", "by votes alone"])
def test_an_owner_that_did_not_sign_to_all_numbers_is_no_liar(said: dict[str, object] | None, numbers: bool) -> None:
    evidence = evidence_of(Offence.WRONG_SUM)
    (own,) = [e for e in evidence.envelopes if e.kind is MessageKind.REPORT and e.author == evidence.accused]
    other = [] if said is None else [resigned(own, dataclasses.replace(own.read(Report), **said).encode())]  # type: ignore[arg-type]
    rest = [envelope for envelope in evidence.envelopes if envelope is not own]
    for envelopes, refused in (((*rest, own), False), ((*rest, *other), True)):
        shown = changed(evidence, envelopes=envelopes)
        shown = shown if numbers else changed(shown, rows=(), aggregates=())
        if refused:
            with pytest.raises(Unproven, match="the owner has not signed that it had seen all numbers"):
                verify(shown)
        else:
            verify(shown)


def test_votes_that_uphold_an_owners_excuse_do_not_convict_it() -> None:
    evidence = evidence_of(Offence.WRONG_SUM)
    votes, owner = votes_of(evidence), evidence.accused
    (accuser,) = {e.author for e in evidence.envelopes if e.kind is MessageKind.REPORT} - {owner}
    (ballot,) = [ballot for ballot in votes[0].read(Vote).ballots if ballot.accuser == accuser]
    for part, kind, excused in (
        (ballot.charge.part, ChargeKind.FALSE_SCALARS, True),
        (ballot.charge.part + 1, ChargeKind.FALSE_SCALARS, False),
        (ballot.charge.part, ChargeKind.NOT_FINITE, False),
    ):
        excuse = Ballot(owner, Charge(kind, PEERS[0], part), Opinion.GUILTY, ())
        ballots = tuple(sorted((excuse, ballot), key=lambda b: b.accuser))
        told = [resigned(vote, dataclasses.replace(vote.read(Vote), ballots=ballots).encode()) for vote in votes]
        if excused:
            with pytest.raises(Unproven, match="only 0 of 7"):
                verify(with_votes(evidence, told))
        else:
            verify(with_votes(evidence, told))


def test_an_accuser_shown_no_momentum_is_no_false_accuser() -> None:
    accuser, accused = PEERS[:2]
    for kind, false in ((ChargeKind.WITHHELD, False), (ChargeKind.GRADIENT, True)):
        charge = Charge(kind, accused, 0)
        vote = Vote(bytes(32), (Ballot(accuser, charge, Opinion.INNOCENT, ()),))
        assert condemns(vote, Offence.FALSE_ACCUSATION, accuser, accuser, charge) is false
        assert not condemns(vote, Offence.FALSE_ACCUSATION, accused, accuser, charge)


def test_ballots_that_acquit_name_no_accomplice() -> None:
    accuser, accused, accomplice = PEERS[:3]
    charge = Charge(ChargeKind.GRADIENT, accused, 0)
    for opinion in Opinion:
        vote = Vote(bytes(32), (Ballot(accuser, charge, opinion, (accomplice,)),))
        assert condemns(vote, Offence.COVER_UP, accomplice, accuser, charge) is (opinion is Opinion.GUILTY)
        assert not condemns(vote, Offence.COVER_UP, accused, accuser, charge)
