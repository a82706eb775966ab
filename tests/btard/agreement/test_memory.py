"""A member that has lost its memory, or was held up, stays out of an agreement; here is why."""

from __future__ import annotations

import pytest

from btard.agreement.machine import Agreement
from btard.agreement.messages import NOTHING, Package, Signatures
from btard.agreement.terms import Terms
from btard.identity import PeerId
from tests.btard.agreement.lies import Certify, Echo, Knowledge, Show
from tests.btard.agreement.model import BOUND, TOPIC, World, endorsement, peers, read, signer, statement, verify
from tests.btard.agreement.story import said

JUST = BOUND / 4096
EVERYONE = peers(4)
FIRST, SECOND, THIRD, LIAR = EVERYONE
TERMS = Terms(TOPIC, EVERYONE, frozenset(EVERYONE), BOUND)


def forgets(made: World, peer: PeerId, time: float) -> None:
    """Let a dead member come back at this time with nothing but its key, and begin anew."""

    def anew() -> None:
        del made.mortal[peer]
        made.machines[peer] = Agreement(TERMS, peer, Signatures(signer(peer), verify, read), made.dispensable)
        made._begun.discard(peer)
        made._begin(peer)

    made.at(time, anew)


@pytest.mark.parametrize("comes_back", [False, True])
def test_a_member_that_forgets_and_speaks_again_divides(comes_back: bool) -> None:
    """Its windows begin anew, so it endorses what is late: with one liar of four there are two that do.

    It could sign a second statement and a second vote, too: then it is a liar by the rules.
    """
    made = World(TERMS, EVERYONE[:3], lambda a, b: BOUND if b == SECOND else 0.0)
    made.mortal[THIRD] = 4
    for peer in made.honest:
        made.start(peer, 0.0, said(peer))
    hidden = statement(LIAR, b"hidden")
    if comes_back:
        forgets(made, THIRD, 3 * BOUND)
        late = 3 * TERMS.window_seconds - JUST
        made.lie(late, THIRD, Package((hidden,), None, (endorsement(LIAR, [hidden.item]),)))
    decisions = made.run()
    assert decisions[SECOND][LIAR] == NOTHING
    assert decisions[FIRST][LIAR] == (hidden.digest if comes_back else NOTHING)


def test_a_member_that_only_listens_endorses_nothing() -> None:
    """It has not begun to count windows: to it nothing is late, so what it passes on must not count as endorsed."""
    made = World(TERMS, EVERYONE[:3], lambda a, b: BOUND if b == SECOND else 0.0, prompted=False)
    others = frozenset(EVERYONE) - {FIRST, SECOND}
    made.settle(lambda statements: others if {FIRST, SECOND} <= statements.keys() else frozenset())
    for peer in (FIRST, SECOND):
        made.start(peer, 0.0, said(peer))
    known, hidden, end = Knowledge(made, (LIAR,)), Show(3, b"hidden", (3,)), TERMS.most_seconds - JUST

    def certificate() -> Package:
        known.listen()
        shown = Certify((3,)).package(known)
        assert shown.certificate is not None and len(shown.certificate.votes) == TERMS.quorum
        return shown

    made.lie_then(1.5 * BOUND, FIRST, lambda: Echo(3, 0).package(known))
    made.lie_then(1.5 * BOUND, SECOND, lambda: Echo(3, 1).package(known))
    made.lie_then(2 * TERMS.window_seconds - JUST, FIRST, lambda: hidden.package(known))
    made.lie_then(end, FIRST, lambda: Package(endorsements=certificate().endorsements))
    made.lie_then(end, THIRD, certificate)
    decisions = made.run()
    assert decisions[FIRST] == decisions[SECOND]
    assert decisions[FIRST] != decisions[THIRD]
