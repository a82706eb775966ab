"""A validator's work: the target's own vector from its public seed, and no momentum but the one it has promised."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import torch

from btard.behaviour import Behaviour
from btard.executor import Executor, TimeLeft, Withheld
from btard.exhibits import Exhibit
from btard.hashing import digest
from btard.peer.shown_material import ShownMaterial
from btard.peer.trainer import Gradient, TaskTrainer
from btard.round.actions import Examine
from btard.round.attempt.attempt import Attempt
from btard.round.attempt.seats import Seats
from btard.round.messages.bodies import Commit
from btard.round.work.rows import encode_parts
from btard.swarm.manifest import RunManifest
from btard.swarm.questions import Question, Want
from btard.tasks.registry import load_task
from btard.transport.driver import in_worker
from btard.transport.libp2p import FetchError
from btard.vectors.momentum import Link
from btard.vocabulary import Device
from tests.peer.helpers import PEERS, ROSTER, Answer, TableTransport, run_manifest

ME, TARGET = PEERS[0], PEERS[1]
STEP = ROSTER.step
SEED = ROSTER.batch_seed(TARGET)


def commit(record: Attempt, momentum: bytes) -> Commit:
    """A commitment to a vector that was built on this momentum."""
    return Commit(record.seats.attempt_id, bytes(32), bytes(32), (), bytes(32), momentum, ())


@dataclass
class Bench:
    """A validator and the target's trainer, both on the state before `STEP`."""

    manifest: RunManifest
    mine: TaskTrainer
    theirs: TaskTrainer

    def record(self, momentum: bytes) -> Attempt:
        """The step in which the target has promised this momentum."""
        attempt = Attempt(Seats(self.manifest.step_rules, ROSTER, 0, ROSTER.members, ME))
        attempt.said.commits[TARGET] = commit(attempt, momentum)
        return attempt

    def link(self, vector: torch.Tensor, count: int = 5) -> Link:
        """What others have seen of a submission."""
        rules = self.manifest.step_rules
        return Link(count, encode_parts(vector, count, rules.wire, rules.aggregation)[1])

    def executor(self, transport: TableTransport) -> Executor:
        """What does the validator's work."""
        run = in_worker(self.mine.worker)
        return Executor(self.manifest.step_rules, ME, Behaviour(), self.mine, self.material(transport), run)

    def material(self, transport: TableTransport) -> ShownMaterial:
        """What asks peers that answer so."""
        rules = self.manifest.step_rules
        return ShownMaterial(self.mine, rules, transport, 4 * rules.dimension)  # type: ignore[arg-type]

    async def recompute(self, shown: Answer, promised: bytes, link: Link | None) -> torch.Tensor | None:
        """Let the validator ask a target that shows this."""
        transport = TableTransport({TARGET: shown}, peer_id=ME)
        found = await self.executor(transport).required(
            self.record(promised), Examine(STEP + 1, TARGET, None, link), TimeLeft()
        )
        (asked,) = transport.asked
        assert asked == (TARGET, Question(want=Want.BASE, step=STEP).encode(), 4 * self.manifest.dimension)
        return found

    async def submit(self, step: int) -> Gradient:
        """Let the target compute."""
        return await self.theirs.contribute(SEED, step, Behaviour())


async def bench_with(momentum: float) -> Bench:
    manifest = run_manifest(momentum=momentum)
    mine, theirs = (TaskTrainer(load_task("digits", "tiny"), manifest, Device.CPU) for _ in range(2))
    await mine.contribute(bytes(32), STEP, Behaviour())  # stands at the step from here on
    return Bench(manifest, mine, theirs)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = await bench_with(0.9)
    yield made
    made.mine.close()
    made.theirs.close()


def data(vector: torch.Tensor) -> bytes:
    return vector.numpy().tobytes()


async def test_a_target_that_begins_is_recomputed_from_zeros(bench: Bench) -> None:
    vector = (await bench.submit(STEP)).vector
    base = bench.theirs.momentum_base(STEP)
    assert base is not None and not any(base)
    found = await bench.recompute(base, digest(base), None)
    assert found is not None and data(found) == data(vector)


async def test_a_target_is_recomputed_from_what_it_submitted_last(bench: Bench) -> None:
    first = (await bench.submit(STEP - 1)).vector
    made = await bench.submit(STEP)
    base = bench.theirs.momentum_base(STEP)
    assert base == data(first)
    found = await bench.recompute(base, made.momentum, bench.link(first))
    assert found is not None and data(found) == data(made.vector)


@pytest.mark.parametrize(
    "shown",
    [
        FetchError("the peer is busy"),
        b"",
        bytes(8),
        lambda base: base[:-4],
        lambda base: base[:-4] + b"\0\0\x80\x7f",
        lambda base: bytes(len(base)),
        lambda base: base + bytes(4),
    ],
    ids=["nothing", "empty", "short", "cut", "another number", "zeros", "long"],
)
async def test_a_momentum_that_is_not_the_promised_one_is_withheld(bench: Bench, shown: object) -> None:
    first = (await bench.submit(STEP - 1)).vector
    answer = shown(data(first)) if callable(shown) else shown
    with pytest.raises(Withheld):
        await bench.recompute(answer, digest(data(first)), bench.link(first))  # type: ignore[arg-type]


async def test_a_promised_momentum_with_infinity_in_it_is_withheld(bench: Bench) -> None:
    base = torch.zeros(bench.manifest.dimension)
    base[3] = float("inf")
    with pytest.raises(Withheld):
        await bench.recompute(data(base), digest(data(base)), bench.link(base))


async def test_a_momentum_that_does_not_continue_counts_as_withheld(bench: Bench) -> None:
    first = (await bench.submit(STEP - 1)).vector
    for other in (-first, torch.zeros_like(first), first + 1e-6):
        with pytest.raises(Withheld):
            await bench.recompute(data(other), digest(data(other)), bench.link(first))


async def test_a_validator_that_missed_the_last_vector_says_nothing(bench: Bench) -> None:
    """Such as a validator that has joined since: only zeros need no past."""
    first = (await bench.submit(STEP - 1)).vector
    assert await bench.recompute(data(first), digest(data(first)), None) is None


async def test_a_validator_without_the_parameters_says_nothing(bench: Bench) -> None:
    zeros = bytes(4 * bench.manifest.dimension)
    for step in range(3):
        vector = (await bench.mine.contribute(bytes(32), STEP + step, Behaviour())).vector
        await bench.mine.apply(vector)
    assert await bench.recompute(zeros, digest(zeros), None) is None


async def test_the_parameters_of_the_step_before_are_kept(bench: Bench) -> None:
    vector = (await bench.submit(STEP)).vector
    await bench.mine.apply((await bench.submit(STEP)).vector)
    zeros = bytes(4 * bench.manifest.dimension)
    found = await bench.recompute(zeros, digest(zeros), None)
    assert found is not None and data(found) == data(vector)


async def test_without_momentum_nobody_is_asked() -> None:
    bench = await bench_with(0.0)
    transport = TableTransport({}, peer_id=ME)
    found = await bench.executor(transport).required(
        bench.record(b""), Examine(STEP + 1, TARGET, None, None), TimeLeft()
    )
    assert found is not None and data(found) == data((await bench.submit(STEP)).vector)
    assert transport.asked == []


async def test_a_judge_of_itself_asks_its_own_trainer(bench: Bench) -> None:
    made = await bench.mine.contribute(ROSTER.batch_seed(ME), STEP, Behaviour())
    transport = TableTransport({}, peer_id=ME)
    record = bench.record(b"")
    record.said.commits[ME] = commit(record, made.momentum)
    executor = bench.executor(transport)
    found = await executor.required(record, Examine(STEP + 1, ME, None, None), TimeLeft())
    assert found is not None and data(found) == data(made.vector) and transport.asked == []
    record.said.commits[ME] = commit(record, digest(b"another"))
    with pytest.raises(Withheld):
        await bench.executor(transport).required(record, Examine(STEP + 1, ME, None, None), TimeLeft())


async def anything(data: bytes) -> bool:
    return True


async def test_what_the_target_does_not_show_its_accusers_do(bench: Bench) -> None:
    """They are asked at once, and what does not fit is not taken, whichever shows it."""

    async def fits(data: bytes) -> bool:
        return data == b"true"

    answers = {TARGET: b"false", PEERS[2]: FetchError("too slow"), PEERS[3]: b"true"}
    transport = TableTransport(answers, peer_id=ME)
    material = bench.material(transport)
    assert await material.exhibit(Exhibit.BASE, TARGET, STEP, fits, (ME, PEERS[2], PEERS[3]), 9.0) == b"true"
    question = Question(want=Want.BASE, step=STEP, peer=str(TARGET)).encode()
    assert {(peer, asked) for peer, asked, _ in transport.asked[1:]} == {(PEERS[2], question), (PEERS[3], question)}
    assert await material.exhibit(Exhibit.BASE, TARGET, STEP, fits, (), 9.0) is None


async def test_a_vector_is_asked_of_its_author(bench: Bench) -> None:
    made = await bench.submit(STEP)
    transport = TableTransport({TARGET: data(made.vector)}, peer_id=ME)
    found = await bench.material(transport).exhibit(Exhibit.VECTOR, TARGET, STEP, anything, (), 9.0)
    assert found == bench.theirs.submitted(STEP) == data(made.vector)
    assert transport.asked == [(TARGET, Question(want=Want.VECTOR, step=STEP).encode(), 4 * bench.manifest.dimension)]


async def test_the_own_vector_is_the_trainer_s(bench: Bench) -> None:
    made = await bench.mine.contribute(SEED, STEP, Behaviour())
    transport = TableTransport({}, peer_id=ME)
    material = bench.material(transport)
    assert await material.exhibit(Exhibit.VECTOR, ME, STEP, anything, (TARGET,), 9.0) == data(made.vector)
    assert transport.asked == []


async def test_a_vector_that_does_not_come_is_none(bench: Bench) -> None:
    transport = TableTransport({TARGET: FetchError("the peer is busy")}, peer_id=ME)
    assert await bench.material(transport).exhibit(Exhibit.VECTOR, TARGET, STEP, anything, (), 9.0) is None


async def test_commitments_are_asked_of_everybody(bench: Bench) -> None:
    transport = TableTransport({TARGET: b"one", PEERS[2]: FetchError("too slow"), PEERS[3]: b"other"}, peer_id=ME)
    found = await bench.material(transport).commits(TARGET, STEP, PEERS[1:4], 99, 9.0)
    question = Question(want=Want.COMMITS, step=STEP, peer=str(TARGET)).encode()
    assert found == [b"one", b"other"]
    assert transport.asked == [(peer, question, 99) for peer in PEERS[1:4]]


async def test_transcripts_are_asked_of_everybody(bench: Bench) -> None:
    transport = TableTransport({TARGET: bytes(32), PEERS[2]: bytes(33)}, peer_id=ME)
    assert await bench.material(transport).transcripts(STEP, PEERS[1:4], 9.0) == [bytes(32)], "no longer than a digest"
    question = Question(want=Want.TRANSCRIPT, step=STEP).encode()
    assert [(peer, asked) for peer, asked, _ in transport.asked] == [(peer, question) for peer in PEERS[1:4]]


async def test_nobody_waits_longer_for_an_answer_than_it_may(bench: Bench) -> None:
    transport = TableTransport({}, peer_id=ME)
    material, deadlines = bench.material(transport), bench.manifest.deadlines
    for within in (0.25, float("inf")):
        await material.exhibit(Exhibit.BASE, TARGET, STEP, anything, (), within)
        await material.commits(TARGET, STEP, [TARGET], 99, within)
    assert transport.patience == [0.25, 0.25, 2 * bench.manifest.step_rules.showing_seconds, deadlines.settle]


async def test_a_validator_waits_as_long_as_its_task_says(bench: Bench) -> None:
    transport = TableTransport({}, peer_id=ME)
    with pytest.raises(Withheld):
        await bench.executor(transport).required(
            bench.record(digest(b"promised")), Examine(STEP + 1, TARGET, None, None), TimeLeft(0.5)
        )
    assert 0.4 < transport.patience[0] <= 0.5
