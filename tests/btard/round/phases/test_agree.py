"""The result of a step: what those that have signed it make of it, for themselves and for others."""

from __future__ import annotations

from btard.identity import MessageKind
from btard.round.phases.agree import AgreePhase, check_certificate
from btard.transport.memory import SimulatedPeer
from tests.btard.round.swarm import Swarm


def agreeing(peer: SimulatedPeer) -> AgreePhase:
    """Return the last phase of the step that a peer has finished."""
    machine = peer.session.machine
    assert machine is not None and machine._course.agree is not None
    return machine._course.agree


def test_only_what_all_members_have_signed_is_shown_to_others() -> None:
    """Fewer may be enough for those that have agreed on it, and are no certificate to anybody else."""
    swarm = Swarm(6, steps=1).run()
    agree = agreeing(swarm.peers[0])
    said, members = agree.attempt.said, agree.attempt.seats.members
    signed = tuple(said.signed[MessageKind.DIGEST, peer] for peer in members)
    assert agree.finished() == agree.finished_by(signed) == swarm.peers[0].finished()[0]
    assert agree.finished_by(signed).certificate == signed
    assert check_certificate(signed, swarm.rules, swarm.genesis)[0] == members
    for fewer in (signed[:-1], signed[:4], ()):
        result = agree.finished_by(fewer)
        assert result.certificate == ()
        assert (result.roster, result.attempt, bytes(result.flat)) == (
            agree.following,
            0,
            bytes(agree.finished().flat),
        )


def test_a_result_says_whether_this_peer_has_submitted() -> None:
    swarm = Swarm(8, steps=2).run()
    validators = swarm.peers[0].finished()[0].roster.validators
    assert validators
    for peer in swarm.peers:
        result = agreeing(peer).finished_by(())
        assert (result.step, result.submitted) == (1, peer.peer_id not in validators)
