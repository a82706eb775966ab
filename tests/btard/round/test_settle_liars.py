"""Settling a failed attempt: whatever a minority says, it does not pay."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping, Sequence

from hypothesis import given
from hypothesis import strategies as st

from btard.hashing import digest
from btard.identity import Envelope, IdentityKey, MessageKind, PeerId
from btard.round.failure.resolve import Resolution, Testimony, resolve
from btard.round.messages.accusations import Fault, Report
from btard.round.messages.bodies import Aggregate, Commit, Digest, PartHeader, Phase, Reveal
from btard.round.randomness import share_commitment
from tests.btard.round.settlement import KEYS, PEERS, D, E, attempt_of
from tests.btard.round.swarm import RULES

faults = st.sampled_from([fault for fault in Fault if fault is not Fault.OTHER_VIEW])


@st.composite
def failed_attempts(draw: st.DrawFn) -> tuple[tuple[PeerId, ...], frozenset[PeerId], dict[PeerId, Report]]:
    """Draw members, less than half of them liars, and reports: liars say anything, honest peers complain of liars only,
    and only if all of them have missed something of that liar, or got it late."""
    members = PEERS[: draw(st.integers(3, 9))]
    most = (len(members) - 1) // 2
    liars = draw(st.sets(st.sampled_from(members), min_size=1, max_size=most))
    refusers = draw(st.sets(st.sampled_from(sorted(liars))))
    reports = {}
    for peer in members:
        possible = members if peer in liars else sorted(refusers)
        accused = draw(st.dictionaries(st.sampled_from(possible), faults)) if possible else {}
        complaints = tuple(sorted(accused.items()))
        if peer not in liars:
            testimony = refusers | draw(st.sets(st.sampled_from(sorted(liars))))
            late = tuple(sorted(testimony))
            reports[peer] = Report(Phase.COMMIT, not complaints, members, complaints, None, (), late)
        elif draw(st.booleans()):
            counted, late = (tuple(sorted(draw(st.sets(st.sampled_from(members))))) for _ in range(2))
            reports[peer] = Report(
                draw(st.sampled_from(Phase)), draw(st.booleans()), counted, complaints, None, (), late
            )
    return members, frozenset(liars), reports


def told(
    members: Sequence[PeerId],
    reports: Mapping[PeerId, Report],
    attached: Mapping[PeerId, Sequence[Envelope]] = {},
    newcomers: Sequence[int] = (),
) -> Resolution:
    return resolve(attempt_of(members, newcomers=newcomers), Testimony(reports, {}, attached))


@given(failed_attempts())
def test_a_minority_of_liars_takes_no_honest_peer_along(
    drawn: tuple[tuple[PeerId, ...], frozenset[PeerId], dict[PeerId, Report]],
) -> None:
    members, liars, reports = drawn
    resolution = told(members, reports)
    removed = set(members) - set(resolution.members)
    assert removed == {peer for peer, _ in resolution.suspended}
    assert not resolution.bans
    assert removed <= liars


@given(failed_attempts())
def test_a_complaint_or_a_missing_report_always_removes_a_liar(
    drawn: tuple[tuple[PeerId, ...], frozenset[PeerId], dict[PeerId, Report]],
) -> None:
    members, liars, reports = drawn
    removed = set(members) - set(told(members, reports).members)
    accused = {accused for peer, report in reports.items() if peer not in liars for accused, _ in report.complaints}
    assert accused <= removed
    assert liars - reports.keys() <= removed
    complained = any(peer != accused for peer, report in reports.items() for accused, _ in report.complaints)
    assert removed or not complained, "or attempts could fail for ever"


@given(failed_attempts(), st.randoms())
def test_the_order_in_which_reports_came_changes_nothing(
    drawn: tuple[tuple[PeerId, ...], frozenset[PeerId], dict[PeerId, Report]], shuffler: random.Random
) -> None:
    members, liars, reports = drawn
    liar = KEYS[PEERS.index(min(liars))]
    proofs = [
        Envelope.sign(
            liar,
            run=RULES.run,
            step=3,
            attempt=1,
            kind=MessageKind.DIGEST,
            body=Digest(D, D, D, digest(bytes([i]))).encode(),
        )
        for i in range(shuffler.randint(0, 3))
    ]
    attached = {peer: shuffler.sample(proofs, len(proofs)) for peer in reports}
    expected = told(members, reports, attached)
    items = list(reports.items())
    shuffler.shuffle(items)
    reattached = {peer: shuffler.sample(found, len(found)) for peer, found in reversed(attached.items())}
    assert told(members, dict(items), reattached) == expected


@given(failed_attempts(), st.data())
def test_liars_cannot_have_an_honest_peer_banned(
    drawn: tuple[tuple[PeerId, ...], frozenset[PeerId], dict[PeerId, Report]], data: st.DataObject
) -> None:
    """They may attach what honest peers did sign, what liars sign, and forgeries."""
    members, liars, reports = drawn
    signers = {peer: KEYS[PEERS.index(peer)] for peer in members}
    spoken: list[Envelope] = []
    for peer, key in signers.items():
        spoken += _honest_messages(key, len(members))
        if peer in liars:
            other = Commit(E, E, E, (E,) * len(members), D, b"", ()).encode()
            spoken.append(Envelope.sign(key, run=RULES.run, step=3, attempt=1, kind=MessageKind.COMMIT, body=other))
    forged = [dataclasses.replace(envelope, body=b"\x91\xa8shutdown") for envelope in spoken]
    shown = data.draw(st.lists(st.sampled_from(spoken + forged), max_size=20))
    body = Report(Phase.COMMIT, False, members, (), None, tuple(envelope.encode() for envelope in shown))
    liar, place = signers[min(liars)], {"run": RULES.run, "step": 3, "attempt": 1}
    outer = Envelope.sign(liar, kind=MessageKind.REPORT, body=body.encode(), **place)  # type: ignore[arg-type]
    attempt = attempt_of(members)
    read = attempt.said.carried(body.attached) if attempt.said.malformation(outer) is None else (outer,)
    attached = {min(liars): read}
    assert {ban.peer for ban in told(members, reports, attached).bans} <= liars


def _honest_messages(key: IdentityKey, members: int) -> list[Envelope]:
    parts = tuple(digest(bytes(key.peer_id) + bytes([i])) for i in range(members))
    sealed = share_commitment(key.peer_id, D, D, E)
    said = [
        (MessageKind.COMMIT, Commit(D, D, D, parts, sealed, b"", ()).encode()),
        (MessageKind.AGGREGATE, Aggregate(D).encode()),
        (MessageKind.REVEAL, Reveal(D, E).encode()),
    ]
    said += [(MessageKind.PART, PartHeader(i, part_digest).encode()) for i, part_digest in enumerate(parts)]
    return [Envelope.sign(key, run=RULES.run, step=3, attempt=1, kind=kind, body=body) for kind, body in said]


@given(failed_attempts(), st.data())
def test_a_crowd_of_newcomers_cannot_become_the_majority(
    drawn: tuple[tuple[PeerId, ...], frozenset[PeerId], dict[PeerId, Report]], data: st.DataObject
) -> None:
    """Some members have no vote, and all of those lie; of the voters less than half lie."""
    members, liars, reports = drawn
    newcomers = data.draw(st.sets(st.sampled_from(sorted(liars))))
    numbers = [PEERS.index(peer) for peer in newcomers]
    resolution = told(members, reports, newcomers=numbers)
    assert set(members) - liars <= set(resolution.members)
