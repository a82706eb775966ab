"""Certificates: a majority of the roster, one statement, of this very step; everything else is refused."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from typing import Any

import pytest

from btard.hashing import digest
from btard.identity import Envelope, Malformed, MessageKind, PeerId
from btard.round.attempt.seats import attempt_id_of
from btard.round.messages.bodies import Digest
from btard.round.phases.agree import check_certificate
from btard.round.roster import Roster, first_randomness
from btard.transport.memory import SimulatedPeer
from tests.btard.round.swarm import RULES, PeerType, Swarm, keys, one_of, voids

KEYS = keys(6)
PEERS = tuple(key.peer_id for key in KEYS)
ROSTER = Roster(4, PEERS[:5], frozenset(PEERS[5:]), first_randomness(0, 4))


def statement(members: Sequence[int], *, attempt: int = 1, roster: Roster = ROSTER, **changed: bytes) -> Digest:
    attempt_id = attempt_id_of(RULES, roster, attempt, tuple(PEERS[i] for i in members))
    return dataclasses.replace(Digest(attempt_id, digest(b"t"), digest(b"x"), digest(b"f")), **changed)


def certificate(
    members: Sequence[int], said: Digest | None = None, *, signers: Sequence[int] | None = None, **fields: Any
) -> list[Envelope]:
    chosen = {"run": RULES.run, "step": ROSTER.step, "kind": MessageKind.DIGEST, "attempt": 1} | fields
    body = (said or statement(members)).encode()
    return [Envelope.sign(KEYS[i], **chosen, body=body) for i in (members if signers is None else signers)]


@pytest.mark.parametrize("members", [(0, 1, 2, 3, 4), (0, 2, 4), (1, 2, 3, 4)])
def test_a_majority_that_says_the_same_is_believed(members: tuple[int, ...]) -> None:
    envelopes = certificate(members)
    random.Random(0).shuffle(envelopes)
    found, said = check_certificate(envelopes, RULES, ROSTER)
    assert found == tuple(PEERS[i] for i in members)
    assert said == statement(members)


def test_a_certificate_is_valid_for_its_own_roster_only() -> None:
    swarm = Swarm(4, steps=2).run()
    first, second = swarm.peers[0].finished()
    assert check_certificate(first.certificate, RULES, swarm.genesis)[1].following == first.roster.digest
    assert check_certificate(second.certificate, RULES, first.roster)[0] == first.roster.members
    for envelopes, roster in ((first.certificate, first.roster), (second.certificate, swarm.genesis)):
        with pytest.raises(Malformed):
            check_certificate(envelopes, RULES, roster)


@pytest.mark.parametrize("members", [(), (0,), (0, 1)])
def test_fewer_than_most_prove_nothing(members: tuple[int, ...]) -> None:
    with pytest.raises(Malformed, match="no majority"):
        check_certificate(certificate(members), RULES, ROSTER)


def test_half_is_no_majority() -> None:
    roster = dataclasses.replace(ROSTER, members=PEERS[:4])
    with pytest.raises(Malformed, match="signed by 2 of 4: no majority"):
        check_certificate(certificate((0, 1), statement((0, 1), roster=roster)), RULES, roster)


@pytest.mark.parametrize(
    "envelopes",
    [
        pytest.param(certificate((0, 1, 2), signers=(0, 1, 2, 2)), id="one author twice"),
        pytest.param(certificate((0, 1, 2), signers=(0, 0, 0)), id="one author three times"),
        pytest.param(certificate((0, 1, 2, 5)), id="a stranger among them"),
        pytest.param(certificate((0, 1, 2), signers=(0, 1)), id="one signature missing"),
        pytest.param(certificate((0, 1, 2), signers=(0, 1, 2, 3)), id="one signature too many"),
        pytest.param(certificate((0, 1, 2), signers=(0, 1, 3)), id="another member's signature"),
        pytest.param(certificate((0, 1, 2), step=3), id="another step"),
        pytest.param(certificate((0, 1, 2), run=b"another-run-0000"), id="another run"),
        pytest.param(certificate((0, 1, 2), attempt=0), id="another attempt"),
        pytest.param(certificate((0, 1, 2), kind=MessageKind.AGGREGATE), id="another kind"),
        pytest.param(certificate((0, 1, 2), statement((0, 1, 2, 3))), id="another membership"),
        pytest.param(
            certificate((0, 1, 2), statement((0, 1, 2), roster=dataclasses.replace(ROSTER, step=5))), id="other roster"
        ),
        pytest.param(
            [*certificate((0, 1, 2))[:2], *certificate((0, 1, 2), statement((0, 1, 2), transcript=bytes(32)))[2:]],
            id="different results",
        ),
        pytest.param([*certificate((0, 1, 2))[:2], *certificate((0, 1, 2), attempt=0)[2:]], id="mixed attempts"),
        pytest.param([*certificate((0, 1, 2))[:2], *certificate((0, 1, 2), step=3)[2:]], id="mixed steps"),
    ],
)
def test_what_proves_nothing_is_refused(envelopes: list[Envelope]) -> None:
    with pytest.raises(Malformed):
        check_certificate(envelopes, RULES, ROSTER)


def test_signatures_over_bytes_that_are_no_digest_are_refused() -> None:
    envelopes = [
        Envelope.sign(key, run=RULES.run, step=4, attempt=1, kind=MessageKind.DIGEST, body=b"x") for key in KEYS[:3]
    ]
    with pytest.raises(Malformed):
        check_certificate(envelopes, RULES, ROSTER)


def test_a_forged_signature_does_not_survive_decoding() -> None:
    honest, *rest = certificate((0, 1, 2))
    forged = dataclasses.replace(honest, author=PEERS[3])
    assert [Envelope.decode(envelope.encode()) for envelope in [honest, *rest]] == [honest, *rest]
    with pytest.raises(Malformed, match="does not verify"):
        Envelope.decode(forged.encode())


def one_deaf(position: int, deaf_to: MessageKind) -> PeerType:
    """Return a maker of peers, one of which never hears messages of one kind."""

    class Deaf(SimulatedPeer):
        def receive(self, sender: PeerId, data: bytes) -> None:
            if Envelope.decode(data).kind is not deaf_to:
                super().receive(sender, data)

    return one_of(Deaf, position)


def test_a_certificate_finishes_the_step_with_the_same_bytes() -> None:
    swarm = Swarm(5, steps=1, peer_type=one_deaf(3, MessageKind.DIGEST)).run()
    swarm.check_agreement()
    late = swarm.peers[3].finished()[0]
    assert [len(peer.finished()) for peer in swarm.peers] == [1] * 5
    assert not any(voids(peer) for peer in swarm.peers)
    assert {envelope.author for envelope in late.certificate} == set(swarm.genesis.members)
    assert swarm.network.now < 0.75 * RULES.agree_seconds, "it asked for what was late by its measure"


def test_a_peer_a_step_behind_catches_up_by_certificate() -> None:
    swarm = Swarm(5, steps=3, peer_type=one_deaf(3, MessageKind.DIGEST)).run()
    swarm.check_agreement()
    assert [len(peer.finished()) for peer in swarm.peers] == [3] * 5
    assert not any(voids(peer) for peer in swarm.peers)
    assert swarm.peers[0].finished()[-1].roster.members == swarm.genesis.members
