"""A peer that others wait for, and that waits itself: it asks them for what it lacks."""

from __future__ import annotations

import dataclasses

import pytest

from btard.identity import Envelope, MessageKind, PeerId
from btard.round.actions import Action, Send
from btard.round.attempt.attempt import Attempt
from btard.round.attempt.pace import Pace
from btard.round.attempt.seats import Seats
from btard.round.delivery.exchange import Exchange
from btard.round.delivery.patience import Patience
from btard.round.draw import Audit
from btard.round.messages.accusations import Fault
from btard.round.messages.bodies import Phase
from btard.round.messages.requests import Item, Pull
from tests.btard.round.delivery.scene import PEERS, ROSTER, asked, exchange
from tests.btard.round.swarm import RULES


def waits() -> Patience:
    made = Patience(RULES, RULES.scatter_seconds, Pace(RULES.delay_bound_seconds))
    made.begin(0.0, Phase.SCATTER, RULES.scatter_seconds)
    return made


def scattering(made: Exchange, attempt: Attempt, *lacking: int) -> tuple[list[Action], list[Item]]:
    """Return what a peer does in SCATTER that lacks the rows of these; and those rows."""
    part = attempt.seats.my_part
    assert part is not None
    wanted = [(MessageKind.PART, PEERS[author], part) for author in lacking]
    missing = {PEERS[author]: Fault.NO_PART for author in lacking}
    return made.urge_for(0.1, Phase.SCATTER, missing, wanted, waits()), wanted


def pulled(action: Action) -> tuple[tuple[PeerId, ...], list[Item]]:
    assert isinstance(action, Send)
    return action.peers, list(Pull.decode(Envelope.decode(action.data).body).items)


def own(attempt: Attempt) -> int:
    assert attempt.seats.my_part is not None
    return attempt.seats.my_part


def test_those_that_wait_are_asked_for_what_is_lacking() -> None:
    made, attempt = exchange()
    assert scattering(made, attempt, 2, 3)[0] == [], "nobody waits"
    made.on_pull(0.1, asked(1, MessageKind.AGGREGATE, 0, own(attempt)))
    assert made.is_awaited(Phase.SCATTER) and not made.is_awaited(Phase.GATHER)
    (action,), wanted = scattering(made, attempt, 2, 3)
    assert pulled(action) == ((PEERS[1],), sorted(wanted))
    assert {(PEERS[1], item) for item in wanted} <= attempt.carried.pulled, "what it sends is welcome"
    assert scattering(made, attempt, 2, 3)[0] == [], "once"


def test_nobody_is_told_of_itself() -> None:
    made, attempt = exchange()
    made.on_pull(0.1, asked(2, MessageKind.AGGREGATE, 0, own(attempt)))
    assert scattering(made, attempt, 2)[0] == []


def test_what_all_are_asked_for_is_not_told_again() -> None:
    made, attempt = exchange()
    _, wanted = scattering(made, attempt, 2)
    assert made.urge_all(0.1, {}, wanted)
    made.on_pull(0.1, asked(1, MessageKind.AGGREGATE, 0, own(attempt)))
    assert scattering(made, attempt, 2)[0] == []


@pytest.mark.parametrize("kind", [MessageKind.AGGREGATE, MessageKind.SCALARS])
def test_a_request_for_what_is_not_owed_tells_nothing(kind: MessageKind) -> None:
    """A validator owns no part, and submits nothing."""
    made, _ = exchange()
    roster = dataclasses.replace(ROSTER, audits=(Audit(PEERS[0], PEERS[3]),))
    made._seats = Seats(RULES, roster, 0, PEERS, PEERS[0])
    made.on_pull(0.1, asked(1, kind, 0, 0))
    assert not made.is_awaited(Phase.COMMIT)


def test_a_message_that_is_lacking_is_told_too() -> None:
    made, _ = exchange()
    made.on_pull(0.1, asked(1, MessageKind.DIGEST, 0, 0))
    (action,) = made.urge_for(0.1, Phase.REVEAL, {PEERS[4]: Fault.NO_REVEAL}, None, waits())
    assert pulled(action) == ((PEERS[1],), [(MessageKind.REVEAL, PEERS[4], 0)])
