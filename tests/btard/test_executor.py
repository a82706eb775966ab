"""The executor: what a peer submits, how often it looks before it accuses, and answers to all that a session asks."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence

import pytest
import torch

from btard.behaviour import Behaviour
from btard.executor import Executor, TimeLeft, Withheld
from btard.exhibits import Exhibit, Fits
from btard.hashing import digest
from btard.identity import Envelope, MessageKind, PeerId
from btard.round.actions import CheckOpening, ComputeGradient, EncodeParts, Examine
from btard.round.attempt.attempt import Attempt
from btard.round.attempt.debts import Debt
from btard.round.attempt.pledges import Pledges
from btard.round.attempt.seats import Seats
from btard.round.messages.accusations import Opinion
from btard.round.messages.bodies import Commit
from btard.round.roster import Roster
from btard.round.rules import VerificationRules
from btard.round.work.answers import GradientComputed, OpeningChecked, PartsEncoded, TargetExamined
from btard.round.work.examination import UNKNOWN, UNSEEN, Finding, Recomputed
from btard.round.work.execute import execute
from btard.round.work.rows import encode_parts
from btard.round.work.seals import opening_of, seal_of, sketch
from btard.tensors import bytes_of
from btard.transport.memory import at_once
from btard.transport.vector_trainer import VectorTrainer
from btard.vectors.momentum import Link
from btard.vocabulary import Validation
from tests.btard.round.swarm import RULES, Swarm, seeded_gradient

SWARM = Swarm(5, steps=2)
ROSTER = SWARM.genesis
ME, TARGET = ROSTER.members[:2]
ZEROS = torch.zeros(RULES.dimension)
GUILTY = Finding(Opinion.GUILTY, True, 9.0)
CLEAN = Finding(Opinion.INNOCENT, False, 0.0)


async def here(work):  # type: ignore[no-untyped-def]
    return work()


@dataclasses.dataclass
class Showing:
    """Peers that show this, whatever they are asked for."""

    momentums: bytes | None = None
    vectors: bytes | None = None
    commitments: tuple[bytes, ...] = ()
    asked: int = 0

    async def exhibit(
        self, what: Exhibit, target: PeerId, step: int, fits: Fits, accusers: Sequence[PeerId], within_seconds: float
    ) -> bytes | None:
        shown = self.momentums if what is Exhibit.BASE else self.vectors
        self.asked += 1
        return shown if shown is not None and await fits(shown) else None

    async def commits(
        self, target: PeerId, step: int, holders: Sequence[PeerId], most_bytes: int, within_seconds: float
    ) -> Sequence[bytes]:
        return self.commitments

    async def transcripts(self, step: int, holders: Sequence[PeerId], within_seconds: float) -> Sequence[bytes]:
        return ()


def executor(
    behaviour: Behaviour | None = None,
    *,
    momentum: float = 0.0,
    shown: bytes | None = None,
    showing: Showing | None = None,
    validation: Validation = Validation.TOLERANT,
) -> Executor:
    """Return what does the work of a peer that is shown this: when it asks for a momentum, or for anything."""

    rules = dataclasses.replace(RULES, verification=VerificationRules(momentum=momentum, validation=validation))
    trainer = VectorTrainer(seeded_gradient, ZEROS, momentum=momentum)
    return Executor(rules, ME, behaviour or Behaviour(), trainer, showing or Showing(shown), here)


def finished_attempt() -> Attempt:
    """Return the record that a peer has of a step with commitments of all."""
    swarm = Swarm(5, steps=1, rules=dataclasses.replace(RULES, verification=VerificationRules())).run()
    record = swarm.peers[0].session.previous
    assert record is not None and record.seats.roster.step == 0
    return record


def promising(momentum: bytes) -> Attempt:
    """Return a record in which the target has committed to this momentum."""
    record = finished_attempt()
    commits = record.said.commits
    commits[TARGET] = dataclasses.replace(commits[TARGET], momentum=momentum)
    return record


def with_momentum(base: bytes) -> Attempt:
    """Return the record of a first step whose vectors are built on this, the zeros."""
    rules = dataclasses.replace(RULES, verification=VerificationRules(momentum=0.5))
    record = Swarm(5, steps=1, rules=rules).run().peers[0].session.previous
    assert record is not None and record.said.commits[TARGET].momentum == digest(base)
    return record


RECORD = finished_attempt()
EXAMINE = Examine(1, TARGET, RECORD, None)


def test_an_honest_contribution_is_the_gradient_of_the_own_seed() -> None:
    answer = at_once(executor().carry_out(ComputeGradient(ROSTER)))
    assert isinstance(answer, GradientComputed) and (answer.step, answer.momentum) == (0, b"")
    assert torch.equal(answer.vector, seeded_gradient(ROSTER.batch_seed(ME), ZEROS))


def test_a_behaviour_may_choose_the_seed_the_base_and_the_vector() -> None:
    other = digest(b"another seed")

    class Lies(Behaviour):
        def batch_seed(self, roster: Roster, seed: bytes) -> bytes:
            assert (roster, seed) == (ROSTER, ROSTER.batch_seed(ME))
            return other

        def momentum(self, step: int, base: torch.Tensor) -> torch.Tensor:
            return base + 2.0

        def gradient(self, step: int, gradient: torch.Tensor) -> torch.Tensor:
            return -gradient

    answer = at_once(executor(Lies(), momentum=0.5).carry_out(ComputeGradient(ROSTER)))
    assert isinstance(answer, GradientComputed)
    assert torch.equal(answer.vector, -(1.0 + 0.5 * seeded_gradient(other, ZEROS)))
    assert answer.momentum == digest(bytes_of(ZEROS + 2.0))


class Looking(Executor):
    """Finds one thing after the other."""

    def __init__(self, findings: list[Finding]) -> None:
        self.findings = findings
        self._exhibits, self._pledged = {}, {}
        self.looks: list[PeerId] = []

    async def look(self, record: Attempt, task: Examine, time_left: TimeLeft) -> tuple[Finding, Recomputed | None]:
        self.looks.append(task.target)
        return self.findings[len(self.looks) - 1], None


@pytest.mark.parametrize(
    "findings, said",
    [([CLEAN], CLEAN), ([GUILTY, CLEAN], CLEAN), ([GUILTY, GUILTY], GUILTY), ([UNSEEN, CLEAN], CLEAN)],
    ids=["innocent", "not found again", "found twice", "shown at last"],
)
def test_only_what_is_found_twice_is_said(findings: list[Finding], said: Finding) -> None:
    looking = Looking(findings)
    assert at_once(looking.carry_out(Examine(1, TARGET, RECORD, None))) == TargetExamined(1, TARGET, said)
    assert looking.looks == [TARGET] * len(findings)


def test_a_step_that_either_missed_gives_no_opinion() -> None:
    looking = Looking([])
    stranger = PeerId.from_public_key(bytes(32))
    for task in (Examine(1, TARGET, None, None), Examine(1, stranger, RECORD, None)):
        assert at_once(looking.carry_out(task)) == TargetExamined(1, task.target, UNKNOWN)
    assert looking.looks == []


def test_a_true_vector_is_found_innocent() -> None:
    answer = at_once(executor().carry_out(Examine(1, TARGET, RECORD, None)))
    assert isinstance(answer, TargetExamined) and answer.finding.opinion is Opinion.INNOCENT


def test_what_was_recomputed_can_be_sealed() -> None:
    answer = at_once(executor().carry_out(Examine(1, TARGET, RECORD, None)))
    assert isinstance(answer, TargetExamined) and answer.recomputed is not None
    assert answer.recomputed.digest == digest(bytes_of(answer.recomputed.vector)) and torch.equal(
        answer.recomputed.vector, TRUE
    )


def test_what_cannot_be_judged_can_be_sealed() -> None:
    base = torch.arange(float(RULES.dimension))
    record = promising(digest(bytes_of(base)))
    asking = executor(momentum=0.5, shown=bytes(bytes_of(base)))
    answer = at_once(asking.carry_out(Examine(1, TARGET, record, None)))
    assert isinstance(answer, TargetExamined) and answer.finding == UNKNOWN and answer.recomputed is not None
    assert torch.equal(answer.recomputed.vector, base.mul(0.5).add_(TRUE.mul(0.5)))


DIRECTION = bytes(range(32))
SALT = digest(b"salt")


def checked(opened: torch.Tensor, sealed: torch.Tensor, asked: Executor | None = None) -> Opinion:
    """What a judge finds about a validator that opens one vector, and has sealed one."""
    seal = seal_of(SALT, digest(bytes_of(sealed)))
    debt = Debt(ROSTER.members[2], TARGET, seal, DIRECTION, RECORD)
    task = CheckOpening(2, debt, opening_of(SALT, sketch(DIRECTION, opened)))
    answer = at_once((asked or executor(validation=Validation.EXACT)).carry_out(task))
    assert isinstance(answer, OpeningChecked) and (answer.step, answer.validator) == (2, ROSTER.members[2])
    return answer.opinion


def test_a_judge_recomputes_what_a_validator_opens() -> None:
    assert checked(TRUE, TRUE) is Opinion.INNOCENT
    assert checked(LIE, LIE) is Opinion.GUILTY
    assert checked(TRUE, LIE) is Opinion.GUILTY, "the seal was of something else"
    tolerant = executor()
    assert checked(TRUE * (1 + 1e-3), LIE, tolerant) is Opinion.INNOCENT
    assert checked(LIE, LIE, tolerant) is Opinion.GUILTY


def test_a_judge_that_is_shown_no_momentum_is_unsure() -> None:
    assert checked(TRUE, TRUE, executor(momentum=0.5, shown=None)) is Opinion.UNSURE


def test_a_judge_without_the_old_parameters_is_unsure() -> None:
    asked = executor()
    for _ in range(3):
        at_once(asked._trainer.apply(ZEROS))
    assert checked(LIE, LIE, asked) is Opinion.UNSURE


def test_a_trainer_that_does_not_hold_the_state_knows_nothing() -> None:
    later = dataclasses.replace(ROSTER, step=5)
    record = finished_attempt()
    record.seats = Seats(record.seats.rules, later, 0, later.members, ME)
    assert at_once(executor().required(record, EXAMINE, TimeLeft())) is None


@pytest.mark.parametrize("shown", [None, b"", bytes(4 * RULES.dimension)], ids=["nothing", "empty", "zeros"])
def test_a_momentum_that_is_not_the_promised_one_is_withheld(shown: bytes | None) -> None:
    record = promising(digest(b"another"))
    with pytest.raises(Withheld):
        at_once(executor(momentum=0.5, shown=shown).required(record, EXAMINE, TimeLeft()))


@pytest.mark.parametrize("known", ["what was submitted", "something else", "nothing"])
def test_a_shown_momentum_must_continue_what_was_submitted(known: str) -> None:
    base = torch.arange(float(RULES.dimension))
    shown = bytes(bytes_of(base))
    record = promising(digest(shown))
    submitted = base if known == "what was submitted" else -base
    link = Link(3, encode_parts(submitted, 3, RULES.wire, RULES.aggregation)[1]) if known != "nothing" else None
    asking, task = executor(momentum=0.5, shown=shown), dataclasses.replace(EXAMINE, link=link)
    if known == "something else":
        with pytest.raises(Withheld):
            at_once(asking.required(record, task, TimeLeft()))
        return
    vector = at_once(asking.required(record, task, TimeLeft()))
    expected = base.mul(0.5).add_(seeded_gradient(ROSTER.batch_seed(TARGET), ZEROS).mul(0.5))
    assert vector is None if known == "nothing" else vector is not None and torch.equal(vector, expected)


LIE = -seeded_gradient(ROSTER.batch_seed(TARGET), ZEROS)
TRUE = -LIE


def pledges(*vectors: torch.Tensor) -> Pledges:
    """What the target has committed to in so many failed attempts."""
    key = next(peer.key for peer in SWARM.peers if peer.peer_id == TARGET)
    commits = []
    for attempt, vector in enumerate(vectors):
        parts = encode_parts(vector, 4, RULES.wire, RULES.aggregation)[1]
        body = Commit(digest(bytes([attempt])), bytes(32), bytes(32), parts, bytes(32), b"", ()).encode()
        commits.append(Envelope.sign(key, run=RULES.run, step=0, attempt=attempt, kind=MessageKind.COMMIT, body=body))
    return Pledges({digest(bytes([attempt])): 4 for attempt in range(len(vectors))}, tuple(commits))


def found_under(validation: Validation, pledged: Pledges, showing: Showing) -> Finding:
    looking = executor(validation=validation, showing=showing)
    answer = at_once(looking.carry_out(Examine(1, TARGET, RECORD, None, pledged)))
    assert isinstance(answer, TargetExamined)
    return answer.finding


def test_without_failed_attempts_nobody_is_asked() -> None:
    class Silent(Showing):
        async def commits(self, target, step, holders, most_bytes, within_seconds):  # type: ignore[no-untyped-def]
            raise AssertionError

    assert found_under(Validation.TOLERANT, Pledges(), Silent()).opinion is Opinion.INNOCENT


@pytest.mark.parametrize("validation", list(Validation))
def test_the_same_vector_in_failed_attempts_is_innocent(validation: Validation) -> None:
    assert found_under(validation, pledges(TRUE, TRUE), Showing()).opinion is Opinion.INNOCENT


def test_another_vector_in_a_failed_attempt_is_guilty() -> None:
    found = found_under(Validation.EXACT, pledges(LIE, TRUE), Showing())
    assert (found.opinion, found.accuse) == (Opinion.GUILTY, True)


@pytest.mark.parametrize("shown, said", [(LIE, "guilty"), (TRUE, "withheld"), (None, "withheld")])
def test_another_vector_has_to_be_shown_where_machines_differ(shown: torch.Tensor | None, said: str) -> None:
    showing = Showing(vectors=None if shown is None else bytes(bytes_of(shown)))
    found = found_under(Validation.TOLERANT, pledges(LIE, LIE), showing)
    assert (found.accuse, found.withheld) == (said == "guilty", said == "withheld")


def test_two_vectors_in_one_step_are_a_lie_whatever_is_shown() -> None:
    showing = Showing(vectors=bytes(bytes_of(TRUE)))
    found = found_under(Validation.TOLERANT, pledges(TRUE, LIE), showing)
    assert (found.opinion, found.accuse, found.withheld, showing.asked) == (Opinion.GUILTY, True, False, 0)


def test_a_judge_can_ask_a_validator_for_all_that_it_was_told() -> None:
    told = pledges(LIE)
    mine, showing = dataclasses.replace(told, commits=()), Showing(commitments=(told.encode(),))
    answer = at_once(executor(showing=showing).carry_out(dataclasses.replace(EXAMINE, pledges=mine)))
    assert isinstance(answer, TargetExamined) and answer.pledges == told


def test_what_proves_a_lie_is_kept_for_the_judges() -> None:
    showing, pledged = Showing(vectors=bytes(bytes_of(LIE))), pledges(LIE)
    looking = executor(showing=showing)
    task = dataclasses.replace(EXAMINE, pledges=pledged)
    at_once(looking.carry_out(task))
    assert looking.exhibit_of(Exhibit.VECTOR, TARGET, 0) == showing.vectors
    assert showing.asked == 1, "the second look is at the same"
    assert looking.exhibit_of(Exhibit.VECTOR, ME, 0) is looking.exhibit_of(Exhibit.BASE, TARGET, 0) is None
    later = promising(b"")
    later.seats = Seats(later.seats.rules, dataclasses.replace(ROSTER, step=1), 0, ROSTER.members, ME)
    at_once(looking.carry_out(Examine(2, TARGET, later, None)))
    assert looking.exhibit_of(Exhibit.VECTOR, TARGET, 0) is None, "the next step has targets of its own"


def test_nothing_is_kept_of_the_innocent() -> None:
    base = bytes(bytes_of(ZEROS))
    looking = executor(momentum=0.5, shown=base)
    answer = at_once(looking.carry_out(dataclasses.replace(EXAMINE, record=with_momentum(base))))
    assert isinstance(answer, TargetExamined) and answer.finding.opinion is Opinion.INNOCENT
    assert looking.exhibit_of(Exhibit.BASE, TARGET, 0) is None


@pytest.mark.parametrize("validation", list(Validation))
def test_what_only_others_were_told_is_found_too(validation: Validation) -> None:
    told = pledges(LIE)
    mine = dataclasses.replace(told, commits=())
    showing = Showing(vectors=bytes(bytes_of(LIE)), commitments=(told.encode(),))
    assert found_under(validation, mine, showing).opinion is Opinion.GUILTY
    assert found_under(validation, mine, Showing()).opinion is Opinion.INNOCENT


def test_pure_work_is_answered_with_its_attempt() -> None:
    answer = execute(EncodeParts(3, 4, ZEROS), RULES)
    assert isinstance(answer, PartsEncoded) and answer.attempt == 3
    assert (answer.parts, answer.digests) == encode_parts(ZEROS, 4, RULES.wire, RULES.aggregation)


def test_work_in_a_simulation_must_not_wait() -> None:
    with pytest.raises(RuntimeError, match="must not wait"):
        at_once(asyncio.sleep(0))


class Watching(Showing):
    """Shows nothing, takes a second for it, and notes how long it may take."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.now = 0.0
        self.within: list[float] = []
        monkeypatch.setattr("btard.executor.monotonic", lambda: self.now)

    async def exhibit(
        self, what: Exhibit, target: PeerId, step: int, fits: Fits, accusers: Sequence[PeerId], within_seconds: float
    ) -> bytes | None:
        self.within.append(within_seconds)
        self.now += 1.0
        return None

    async def commits(
        self, target: PeerId, step: int, holders: Sequence[PeerId], most_bytes: int, within_seconds: float
    ) -> Sequence[bytes]:
        self.within.append(within_seconds)
        return ()


def test_all_answers_together_have_the_time_of_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    watching = Watching(monkeypatch)
    asking = executor(momentum=0.5, showing=watching)
    for within in (1.5, 0.5, float("inf")):
        at_once(asking.carry_out(Examine(1, TARGET, promising(digest(b"base")), None, within_seconds=within)))
    assert watching.within == [1.5, 0.5, 0.5, 0.0, float("inf"), float("inf")], "it looks twice"


def test_silent_holders_leave_the_target_most_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    watching = Watching(monkeypatch)
    looking = executor(validation=Validation.TOLERANT, showing=watching)
    at_once(looking.carry_out(Examine(1, TARGET, RECORD, None, pledges(LIE), within_seconds=4.0)))
    assert watching.within[:2] == [1.0, 4.0]
