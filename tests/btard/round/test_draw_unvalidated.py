"""What people are told is what the draw does: with how many voters a validator is drawn, and with how many never."""

from __future__ import annotations

import pytest

from btard.hashing import tagged_digest
from btard.round.draw import VOTERS_NEEDED, draw_audits, most_audits, nobody_is_validated
from tests.btard.round.swarm import keys

DRAWS = [tagged_digest("test", number.to_bytes(2, "big")) for number in range(200)]


@pytest.mark.parametrize("voters", range(7))
@pytest.mark.parametrize("rate", [0.25, 1.0, 8.0])
@pytest.mark.parametrize("newcomers", [0, 2])
def test_it_is_said_exactly_where_no_validator_is_ever_drawn(voters: int, rate: float, newcomers: int) -> None:
    peers = sorted(key.peer_id for key in keys(voters + newcomers))
    members = peers[:voters]
    drawn = [len(draw_audits(r, members, peers, rate, 0)) for r in DRAWS]
    assert (max(drawn) == 0) == (nobody_is_validated(len(members), rate) is not None)
    assert max(drawn) <= most_audits(len(members))


def test_the_words() -> None:
    assert VOTERS_NEEDED == 4
    assert nobody_is_validated(3, 1.0) == "nobody is validated: 3 voters, 4 are needed"
    assert nobody_is_validated(1, 0.1) == "nobody is validated: 1 voter, 4 are needed"
    assert nobody_is_validated(4, 0.1) is None
    assert nobody_is_validated(99, 0.0) == "nobody is validated: the run is set to 0 validators"
