"""What is a member's goodbye, and what is none."""

from __future__ import annotations

import pytest

from btard.identity import Envelope, MessageKind
from btard.round.failure.heard import Heard, has_left
from btard.round.failure.standing import Standing
from btard.round.messages.bodies import Leave, LeaveReason
from tests.btard.round.settlement import ATTEMPT, FIVE, KEYS, leave, signed
from tests.btard.round.swarm import RULES

BODY = Leave(LeaveReason.SHUTDOWN).encode()


@pytest.mark.parametrize("attempt", [0, 1, 2])
def test_a_goodbye_is_one_in_every_attempt_of_the_step(attempt: int) -> None:
    assert has_left(ATTEMPT, FIVE[1], leave(1, attempt=attempt).encode())


def of_run(run: bytes) -> Envelope:
    return Envelope.sign(KEYS[1], run=run, step=3, attempt=0, kind=MessageKind.LEAVE, body=BODY)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(of_run(b"another-run-0000").encode(), id="of another run"),
        pytest.param(signed(1, MessageKind.LEAVE, BODY, step=2).encode(), id="of the step before"),
        pytest.param(signed(1, MessageKind.LEAVE, BODY, step=4).encode(), id="of the next step"),
        pytest.param(signed(1, MessageKind.ASK, BODY).encode(), id="of another kind"),
        pytest.param(leave(2).encode(), id="of another member"),
        pytest.param(signed(1, MessageKind.LEAVE, b"\x00").encode(), id="of a wrong form"),
        pytest.param(leave(1).encode()[:-1], id="cut short"),
        pytest.param(leave(1).encode()[:-1] + bytes([leave(1).encode()[-1] ^ 1]), id="with a false signature"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_what_is_no_goodbye_of_the_step_is_refused(data: bytes) -> None:
    assert of_run(RULES.run).encode() == leave(1).encode()
    assert not has_left(ATTEMPT, FIVE[1], data)


def test_a_goodbye_of_a_wrong_form_is_not_kept() -> None:
    """In a certificate it would be false, and the honest member that shows it a liar."""
    heard = Heard(ATTEMPT, Standing(FIVE), {})
    heard.add_goodbye(signed(1, MessageKind.LEAVE, b"\x00"))
    assert heard.farewells() == {}
    heard.add_goodbye(leave(1))
    assert heard.farewells() == {FIVE[1]: leave(1).encode()}
    assert has_left(ATTEMPT, FIVE[1], heard.farewells()[FIVE[1]])
