"""Newcomers come in through any peer, however long the coordinator is dead, and hand on what they were shown."""

from __future__ import annotations

from typing import Any

from btard.identity import Envelope
from btard.peer.meeting.descent import Descent
from btard.round.roster import Roster
from btard.swarm.lineage import ChainLink, followed, from_bytes, to_bytes
from btard.swarm.questions import Question, Want
from btard.transport.libp2p import FetchError
from tests.btard.round.swarm import RULES
from tests.peer.helpers import PEERS, TableTransport
from tests.swarm.chains import chain, history, link, roster

ROSTERS = history(20)
SHOWN = chain(ROSTERS, ROSTERS[0])


class Known:
    """The newest roster that the coordinator has signed."""

    def __init__(self, base: Roster | None) -> None:
        self.base = base


def descent(base: Roster | None = ROSTERS[0], **answers: bytes | Exception) -> tuple[Descent, TableTransport]:
    """The user has named peers 1 and 2; each may answer."""
    transport = TableTransport({PEERS[int(name[1:])]: answer for name, answer in answers.items()})
    stands: Any = Known(base), transport
    return Descent(stands[1], RULES, stands[0], PEERS[1:3]), transport


async def test_a_named_peer_shows_the_way() -> None:
    made, transport = descent(p1=FetchError("dead"), p2=to_bytes(SHOWN), p3=b"not asked")
    assert await made.newest(ROSTERS[0]) == ROSTERS[-1]
    assert {(peer, Question.decode(asked).want) for peer, asked, _ in transport.asked} == {
        (peer, Want.LINEAGE) for peer in PEERS[1:3]
    }


async def test_what_liars_show_changes_nothing() -> None:
    strangers = [roster(step, range(30, 35)) for step in (0, 1)]
    for false in (b"", b"garbage", to_bytes([link(*strangers)])):
        made, _ = descent(p1=false)
        assert await made.newest(ROSTERS[0]) == ROSTERS[0] and made.links == ()
        made, _ = descent(p1=false, p2=to_bytes(SHOWN))
        assert await made.newest(ROSTERS[0]) == ROSTERS[-1]


async def test_a_newer_roster_that_is_known_is_kept() -> None:
    newer = roster(99, range(5))
    made, _ = descent(p1=to_bytes(SHOWN))
    assert await made.newest(newer) == newer


async def test_without_the_coordinators_roster_nobody_is_asked() -> None:
    made, transport = descent(None, p1=to_bytes(SHOWN))
    assert await made.newest(ROSTERS[0]) == ROSTERS[0] and transport.asked == []


async def test_a_newcomer_hands_the_way_on_and_makes_it_longer() -> None:
    made, _ = descent(p1=to_bytes(SHOWN))
    assert made.shown() is None
    await made.newest(ROSTERS[0])
    shown = made.shown()
    assert shown is not None and from_bytes(shown) == SHOWN
    after = history(22)
    for step in (20, 21):
        made.lengthen(link(after[step], after[step + 1]))
    shown = made.shown()
    assert shown is not None and followed(from_bytes(shown), (0, ROSTERS[0]), RULES)[0] == (0, after[22])


async def test_a_step_that_fewer_have_signed_makes_no_link() -> None:
    unsigned: tuple[Envelope, ...] = ()
    made, _ = descent()
    made.lengthen(ChainLink(0, ROSTERS[0], ROSTERS[1], unsigned))
    assert made.links == () and made.shown() is None


async def test_other_members_show_the_way_as_well() -> None:
    made, _ = descent(p3=to_bytes(SHOWN))
    assert await made.newest(ROSTERS[0], PEERS[3:4]) == ROSTERS[-1]
