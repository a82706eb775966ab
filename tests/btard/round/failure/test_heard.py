"""What is kept as a member's goodbye."""

from __future__ import annotations

from btard.identity import MessageKind
from btard.round.failure.heard import Heard
from btard.round.failure.standing import Standing
from tests.btard.round.settlement import ATTEMPT, FIVE, leave, signed


def test_a_goodbye_of_a_wrong_form_is_not_kept() -> None:
    heard = Heard(ATTEMPT, Standing(FIVE), {})
    heard.add_goodbye(signed(1, MessageKind.LEAVE, b"\x00"))
    assert heard.left == {}
    heard.add_goodbye(leave(1))
    assert heard.left == {FIVE[1]: leave(1)}
