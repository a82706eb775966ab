"""What is late, and of which author: after its time only, and not while it waits itself."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest

from btard.identity import MessageKind, PeerId
from btard.round.attempt.pace import Pace
from btard.round.delivery.patience import Patience
from btard.round.messages.accusations import Fault
from btard.round.messages.bodies import Phase
from tests.btard.round.delivery.scene import COUNT, OWNED, PEERS, asked, exchange, numbered, reveal
from tests.btard.round.swarm import RULES


def patience(barrier: float) -> Patience:
    made = Patience(RULES, RULES.scatter_seconds, Pace(RULES.delay_bound_seconds))
    made.begin(barrier, Phase.SCATTER, RULES.scatter_seconds)
    return made


def test_a_peer_is_called_late_only_after_it_has_had_its_time() -> None:
    made, attempt = exchange()
    waits, item = patience(0.0), (MessageKind.REVEAL, PEERS[2], 0)
    due = waits.due(Phase.REVEAL)
    made.on_pull(1.0, asked(1, *numbered(item)))
    assert made.account.late(due, waits) == set()
    assert made.account.late(due + 0.1, waits) == {PEERS[2]}
    assert (
        made.account.late(math.inf, Patience(RULES, RULES.scatter_seconds, Pace(RULES.delay_bound_seconds))) == set()
    ), "before the barrier nothing is due"
    attempt.file(reveal(2))
    made.serve(due - 0.1)
    assert made.account.late(math.inf, waits) == set()


def test_a_late_item_stays_late_but_a_peer_asked_late_has_time() -> None:
    made, attempt = exchange()
    waits, item = patience(0.0), (MessageKind.REVEAL, PEERS[2], 0)
    due = waits.due(Phase.REVEAL)
    made.on_pull(due, asked(1, *numbered(item)))
    allowed = due + waits.allowance(Phase.REVEAL)
    assert made.account.late(allowed, waits) == set()
    attempt.file(reveal(2))
    made.serve(allowed + 0.1)
    assert made.account.late(math.inf, waits) == {PEERS[2]}


def test_rows_that_are_checked_have_the_time_of_their_phase() -> None:
    made, attempt = exchange()
    waits = Patience(RULES, 5 * RULES.scatter_seconds, Pace(RULES.delay_bound_seconds))
    waits.begin(0.0, Phase.SCATTER, RULES.scatter_seconds)
    attempt.said.commits.update(dict.fromkeys(PEERS, attempt.said.commits[PEERS[0]]))
    attempt.carried.gathered.add(attempt.seats.owners[5])
    made.on_pull(1.0, asked(1, MessageKind.PART, 2, 5))
    made.on_pull(1.0, asked(1, MessageKind.PART, 3, 6))
    made.serve(1.0)
    for author, phase in ((2, Phase.CHECK), (3, Phase.SCATTER)):
        allowed = 1.0 + waits.allowance(phase)
        assert PEERS[author] not in made.account.late(allowed, waits)
        assert PEERS[author] in made.account.late(allowed + 0.1, waits)


def test_a_part_is_not_late_before_its_author_has_committed() -> None:
    made, attempt = exchange()
    waits = patience(0.0)
    made.on_pull(1.0, asked(1, MessageKind.PART, 2, 5))
    made.serve(50.0)
    assert made.account.late(100.0, waits) == set()
    attempt.said.commits[PEERS[2]] = attempt.said.commits[PEERS[0]]
    made.serve(100.0)
    allowed = 100.0 + waits.allowance(Phase.SCATTER)
    assert made.account.late(allowed, waits) == set()
    assert made.account.late(allowed + 0.1, waits) == {PEERS[2]}


def measured(*phases: Phase) -> Patience:
    """Return the patience of a peer that has gone through these phases, a tenth of a second each, since time 0."""
    made = Patience(RULES, RULES.scatter_seconds, Pace(RULES.delay_bound_seconds))
    for number, phase in enumerate(phases):
        made.begin(0.1 * number, phase, 5.0)
        made.note_halfway(0.1 * number + 0.1, phase, 5.0)
    return made


OWED = (MessageKind.AGGREGATE, PEERS[2], OWNED)
LATE_SHARE = (MessageKind.REVEAL, PEERS[3], 0)


def test_a_member_that_does_not_answer_is_waited_for() -> None:
    made, _ = exchange()
    waits = measured(Phase.SCATTER, Phase.GATHER)
    made.urge(1.0, [OWED], everyone=True)
    assert made.account.is_waiting
    assert made.account.waited(1.0, waits) == {}
    assert made.account.waited(5.0, waits) == {PEERS[2]: pytest.approx(5.0 - 1.0 - 0.1)}


def test_a_member_held_up_by_another_is_not_blamed() -> None:
    """The owner asks for a part that this peer has not got either: so its author keeps both waiting."""
    made, attempt = exchange()
    waits = measured(Phase.SCATTER, Phase.GATHER)
    made.on_pull(1.0, asked(2, MessageKind.PART, 4, OWNED))
    made.urge(1.0, [OWED], everyone=True)
    assert made.account.waited(5.0, waits).keys() == {PEERS[4]}
    attempt.carried.rows[PEERS[4], OWNED] = memoryview(bytes(4))
    made.serve(5.0)
    assert made.account.waited(9.0, waits)[PEERS[2]] == pytest.approx(9.0 - 1.0 - 0.1 - 4.0)


def test_waiting_for_what_comes_later_excuses_nothing() -> None:
    made, _ = exchange()
    waits = measured(Phase.SCATTER, Phase.GATHER)
    made.on_pull(1.0, asked(2, *numbered(LATE_SHARE)))
    made.urge(1.0, [OWED], everyone=True)
    assert made.account.waited(5.0, waits)[PEERS[2]] == pytest.approx(5.0 - 1.0 - 0.1)


@dataclass(frozen=True)
class Gathering:
    """A phase that waits for the aggregates of so many members."""

    late: int
    phase: Phase = Phase.GATHER

    def halfway(self) -> bool:
        return False

    def missing(self) -> dict[PeerId, Fault]:
        return dict.fromkeys(PEERS[-self.late :], Fault.NO_AGGREGATE)

    def seconds(self) -> float:
        return RULES.gather_seconds


def entered_gather() -> Patience:
    made = measured(Phase.SCATTER)
    made.begin(1.0, Phase.GATHER, RULES.gather_seconds)
    return made


def test_fewer_than_half_of_the_members_may_be_blamed() -> None:
    made, _ = exchange()
    made.urge(1.0, [OWED], everyone=True)
    for late, may in ((COUNT // 2, False), (COUNT // 2 - 1, True)):
        waits = entered_gather()
        made.account.note_progress(2.0, Gathering(late), waits)
        assert waits.may_blame(Phase.GATHER) is may, late


def test_members_that_wait_themselves_are_not_among_the_late() -> None:
    """One that is dead had sent parts to some: others lack its aggregate, and those of all owners that wait for it."""
    made, _ = exchange()
    owner, waits = COUNT - 1, entered_gather()
    part = made.attempt.seats.part_of[PEERS[owner]]
    made.on_pull(1.0, asked(owner, MessageKind.PART, COUNT - 2, part))
    made.account.note_progress(2.0, Gathering(COUNT // 2), waits)
    assert waits.may_blame(Phase.GATHER)
    waits = entered_gather()
    made.account.note_progress(2.0, Gathering(COUNT // 2 + 1), waits)
    assert not waits.may_blame(Phase.GATHER)


def test_an_asker_of_this_phase_is_among_the_late() -> None:
    made, _ = exchange()
    waits = entered_gather()
    made.on_pull(1.0, asked(COUNT - 1, *numbered(OWED)))
    made.account.note_progress(2.0, Gathering(COUNT // 2), waits)
    assert not waits.may_blame(Phase.GATHER)


def test_a_target_pays_for_the_time_that_its_validator_waits() -> None:
    made, _ = exchange()
    waits, item = patience(0.0), (MessageKind.REVEAL, PEERS[1], 0)
    waits.note_halfway(0.5, Phase.SCATTER, RULES.scatter_seconds)
    waits.begin(1.0, Phase.REVEAL, RULES.agree_seconds)
    waits.note_halfway(1.5, Phase.REVEAL, RULES.agree_seconds)
    made.on_pull(2.0, asked(3, *numbered(item)))
    alone = made.account.waited(12.0, waits)[PEERS[1]]
    made.account.note_relaying(PEERS[1], PEERS[2], 4.0)
    made.account.note_relaying(PEERS[1], PEERS[2], 5.0)
    assert made.account.waited(12.0, waits)[PEERS[1]] == alone - 8.0
    made.account.note_relayed(PEERS[1], PEERS[2], 6.0)
    made.account.note_relayed(PEERS[1], PEERS[2], 7.0)
    assert made.account.waited(12.0, waits) == {PEERS[1]: alone - 2.0}, "it may have to answer everybody"
    assert made.account.held_against(12.0, waits) == {PEERS[1]: alone - 2.0, PEERS[2]: 2.0}
