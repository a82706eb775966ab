"""From the coordinator's last roster to the newest: by signatures of most that are trusted, and by nothing else."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from btard.identity import Malformed
from btard.swarm.lineage import MAX_LINKS, ChainLink, extended, followed, from_bytes, to_bytes
from tests.btard.round.swarm import RULES
from tests.swarm.chains import chain, history, link, roster


def test_a_roster_is_followed_though_all_its_members_are_gone() -> None:
    rosters = history(30)
    links = from_bytes(to_bytes(chain(rosters, rosters[0])))
    assert set(rosters[0].members).isdisjoint(rosters[-1].members)
    assert followed(links, (0, rosters[0]), RULES) == ((0, rosters[-1]), links)


def test_a_chain_is_no_longer_than_changes_of_half_the_voters() -> None:
    still = [roster(step, range(5)) for step in range(50)]
    assert len(chain(still, still[0])) == 1
    assert len(chain(history(30), history(30)[0])) == 15


def test_a_chain_begins_anew_at_a_newer_signed_roster() -> None:
    rosters = history(12)
    old = chain(rosters[:11], rosters[0])
    links = extended(old, rosters[9], link(rosters[11], rosters[12]))
    assert links[0].following.step > 9
    assert followed(links, (0, rosters[9]), RULES)[0] == (0, rosters[12])


def test_a_newer_roster_is_followed_along_an_older_chain() -> None:
    rosters = history(20)
    links = chain(rosters, rosters[0])
    for known in rosters:
        assert followed(links, (0, known), RULES)[0] == (0, rosters[-1])


def test_steps_that_were_lost_are_left_out() -> None:
    rosters = history(6)
    links = chain(rosters, rosters[0])
    again = link(rosters[2], replace(rosters[3], randomness=bytes(32)), incarnation=1)
    left = extended(links, rosters[0], again)
    assert followed(left, (0, rosters[0]), RULES)[0] == (1, again.following)
    assert max(each.following.step for each in left) == 3


def test_a_chain_has_an_end() -> None:
    rosters = history(34, size=2)
    links = chain(rosters, rosters[0])
    assert len(links) <= MAX_LINKS and len(to_bytes(links)) < 1 << 20


BASE = roster(0, range(5))
NEXT = roster(1, range(5))


@pytest.mark.parametrize(
    "false",
    [
        pytest.param(link(roster(0, (0, 1, 9)), roster(1, (0, 1, 9))), id="of fewer than most"),
        pytest.param(link(roster(0, range(9, 14)), roster(1, range(9, 14))), id="of strangers"),
        pytest.param(link(BASE, NEXT, said=BASE), id="another roster was signed"),
        pytest.param(replace(link(BASE, NEXT), incarnation=1), id="signed in another incarnation"),
        pytest.param(replace(link(BASE, NEXT), roster=roster(0, range(6))), id="signed in another roster"),
        pytest.param(replace(link(BASE, NEXT), certificate=()), id="signed by nobody"),
    ],
)
def test_what_most_have_not_signed_leads_nowhere(false: ChainLink) -> None:
    assert followed([false], (0, BASE), RULES) == ((0, BASE), ())
    true = link(BASE, NEXT)
    assert followed([false, true], (0, BASE), RULES) == ((0, NEXT), (true,))


def test_a_forged_signature_leads_nowhere() -> None:
    first, *others = link(BASE, NEXT).certificate
    forged = replace(first, signature=bytes(len(first.signature)))
    assert followed([replace(link(BASE, NEXT), certificate=(forged, *others))], (0, BASE), RULES)[1] == ()


def test_newcomers_on_probation_vouch_for_nothing() -> None:
    base = replace(roster(0, range(5)), probation=tuple((peer, 9) for peer in roster(0, range(3)).members))
    after = roster(1, range(3))
    assert followed([link(base, after)], (0, base), RULES)[1] == ()


def test_nothing_goes_back() -> None:
    later = roster(5, range(5))
    assert followed([link(BASE, NEXT)], (0, later), RULES) == ((0, later), ())


def test_bytes_that_are_no_chain_are_refused() -> None:
    good = to_bytes([link(BASE, NEXT)])
    assert from_bytes(good) == (link(BASE, NEXT),)
    luck = random.Random(0)
    for length in range(0, len(good), 7):
        with pytest.raises(Malformed):
            from_bytes(good[:length])
    for _ in range(200):
        bad = bytearray(good)
        bad[luck.randrange(len(bad))] ^= 1 << luck.randrange(8)
        try:
            assert followed(from_bytes(bytes(bad)), (0, BASE), RULES)[0] in ((0, BASE), (0, NEXT))
        except Malformed:
            continue
    with pytest.raises(Malformed):
        from_bytes(to_bytes([link(BASE, NEXT)] * (MAX_LINKS + 1)))
