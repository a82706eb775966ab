"""The driver over real time and threads: whole steps in one event loop, and orderly ends when something goes wrong."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from btard.behaviour import LeaveReason
from btard.executor import Withheld
from btard.hashing import digest
from btard.identity import Envelope, MessageKind, PeerId
from btard.round.actions import Finished, OutcomeKind, Send, Stopped, Voided
from btard.round.attempt.attempt import Attempt
from btard.round.evidence.evidence import Offence
from btard.round.proof import verify
from btard.round.roster import Roster
from btard.round.rules import VerificationRules
from btard.trainer import Contribution
from btard.vectors.momentum import Link
from btard.vectors.partition import from_wire
from tests.btard.round.swarm import RULES, keys
from tests.btard.transport.crowd import (
    HASTY,
    PATIENT,
    Contributing,
    Crowd,
    LoopTransport,
    finished,
    never,
    ready,
)


@pytest.fixture
async def worker() -> AsyncIterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.mark.parametrize("count", [1, 2, 5])
async def test_steps_end_with_the_same_bytes_for_all(worker: ThreadPoolExecutor, count: int) -> None:
    crowd = Crowd(keys(count), worker)
    roster = crowd.roster
    for step in range(3):
        outcomes = [finished(outcome) for outcome in await crowd.step(roster)]
        assert len({bytes(outcome.flat) for outcome in outcomes}) == 1
        assert {outcome.roster.digest for outcome in outcomes} == {outcomes[0].roster.digest}
        working = [i for i, peer in enumerate(roster.members) if peer not in roster.validators]
        mean = sum(working) / len(working) + step
        assert from_wire(outcomes[0].flat, RULES.wire).tolist() == [mean] * RULES.dimension
        roster = outcomes[0].roster
    assert roster.step == 3
    assert not any(crowd.voided.values())
    assert bool(crowd.recomputed) == (count >= 4), "with four or more, somebody is validated"


async def test_a_false_vector_is_found_over_a_real_loop(worker: ThreadPoolExecutor) -> None:
    crowd = Crowd(keys(5), worker)
    liar = crowd.keys[2].peer_id
    honest = crowd.gradient
    crowd.gradient = lambda peer, roster: -3 - honest(peer, roster) if peer == liar else honest(peer, roster)  # type: ignore[method-assign]

    async def recompute(record: Attempt, target: PeerId, link: Link | None) -> torch.Tensor | None:
        return honest(target, record.seats.roster)

    recomputing(crowd, recompute)
    roster, outcomes = crowd.roster, []
    while liar in roster.members and roster.step < 40:
        outcomes = [outcome for outcome in await crowd.step(roster) if isinstance(outcome, Finished)]
        roster = outcomes[0].roster
    assert roster.banned == {liar}
    assert len({bytes(outcome.flat) for outcome in outcomes}) == 1
    (verdict,) = (v for void in crowd.voided[crowd.keys[0].peer_id] for v in void.verdicts)
    assert verdict.evidence.offence is Offence.GRADIENT and "signed votes" in verify(verdict.evidence)


Recomputed = Callable[[Attempt, PeerId, Link | None], Awaitable[torch.Tensor | None]]


def recomputing(crowd: Crowd, recompute: Recomputed) -> None:
    """Let all peers recompute in this way."""
    crowd.recompute = recompute  # type: ignore[method-assign]


async def steps_until_validated(crowd: Crowd, target: PeerId) -> list[list[Voided]]:
    """Take steps until somebody has validated the target; returns what each peer saw fail in that step."""
    roster = crowd.roster
    for _ in range(60):
        before = {peer: len(seen) for peer, seen in crowd.voided.items()}
        outcomes = await crowd.step(roster)
        if target in roster.validators.values():
            return [seen[before[peer] :] for peer, seen in crowd.voided.items()]
        roster = finished(outcomes[0]).roster
    raise AssertionError("sixty steps without a validator for the target")


async def test_a_validator_computes_nothing_of_its_own(worker: ThreadPoolExecutor) -> None:
    crowd = Crowd(keys(5), worker)
    roster = crowd.roster
    for _ in range(3):
        computed: list[PeerId] = []

        def contribution(peer: PeerId, at: Roster, computed: list[PeerId] = computed) -> Contributing:
            async def compute() -> Contribution:
                computed.append(peer)
                return Contribution(crowd.gradient(peer, at), b"")

            return compute

        crowd.recomputed.clear()
        async with asyncio.timeout(60):
            outcomes = await asyncio.gather(*(crowd.run(p, roster, contribution(p, roster)) for p in roster.members))
        assert sorted(computed) == [peer for peer in roster.members if peer not in roster.validators]
        assert sorted(crowd.recomputed) == sorted(roster.validators.values()), "no finding is computed twice"
        roster = finished(outcomes[0]).roster
    assert len(roster.validators) == 1


async def test_what_cannot_be_reproduced_is_no_accusation(worker: ThreadPoolExecutor) -> None:
    """A validator whose memory flips a bit looks again before it accuses."""
    crowd = Crowd(keys(5), worker)
    target = crowd.keys[2].peer_id
    looks: list[PeerId] = []

    async def recompute(record: Attempt, peer: PeerId, link: Link | None) -> torch.Tensor | None:
        looks.append(peer)
        right = crowd.gradient(peer, record.seats.roster)
        return -3 - right if looks.count(peer) % 2 else right

    recomputing(crowd, recompute)
    assert await steps_until_validated(crowd, target) == [[]] * 5
    assert looks.count(target) == 2


async def test_what_this_peer_cannot_know_is_no_accusation(worker: ThreadPoolExecutor) -> None:
    crowd = Crowd(keys(5), worker)
    target = crowd.keys[2].peer_id
    looks: list[PeerId] = []

    async def recompute(record: Attempt, peer: PeerId, link: Link | None) -> torch.Tensor | None:
        looks.append(peer)
        return None if peer == target else crowd.gradient(peer, record.seats.roster)

    recomputing(crowd, recompute)
    assert await steps_until_validated(crowd, target) == [[]] * 5
    assert looks.count(target) == 1


async def test_a_peer_that_withholds_momentum_is_left_out_not_banned(worker: ThreadPoolExecutor) -> None:
    rules = dataclasses.replace(
        PATIENT, delay_bound_seconds=0.5, verification=VerificationRules(validators=1.0, momentum=0.5)
    )
    crowd = Crowd(keys(5), worker, rules)
    target = crowd.keys[2].peer_id
    links: dict[PeerId, list[Link | None]] = {}

    async def recompute(record: Attempt, peer: PeerId, link: Link | None) -> torch.Tensor | None:
        links.setdefault(peer, []).append(link)
        if peer == target:
            raise Withheld
        return crowd.gradient(peer, record.seats.roster)

    recomputing(crowd, recompute)
    voids = await steps_until_validated(crowd, target)
    (honest,) = {(void.suspended[0][0], len(void.suspended), void.verdicts) for seen in voids for void in seen}
    assert honest == (target, 1, ())
    assert len(links[target]) >= 2, "it was asked again before anybody said so"
    known = [link for seen in links.values() for link in seen if link is not None]
    assert all(link.count == len(link.digests) > 0 for link in known)


async def test_a_gradient_that_fails_ends_the_step_with_its_error(worker: ThreadPoolExecutor) -> None:
    crowd = Crowd(keys(2), worker)

    async def fails() -> Contribution:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        async with asyncio.timeout(60):
            await crowd.run(crowd.keys[0].peer_id, crowd.roster, fails)


async def test_a_gradient_that_cannot_be_encoded_ends_the_step(worker: ThreadPoolExecutor) -> None:
    crowd = Crowd(keys(2), worker)
    with pytest.raises(AttributeError):
        async with asyncio.timeout(60):
            await crowd.run(crowd.keys[0].peer_id, crowd.roster, ready("no tensor"))  # type: ignore[arg-type]


async def test_a_peer_that_never_answers_is_suspended_at_the_deadline(worker: ThreadPoolExecutor) -> None:
    crowd = Crowd(keys(4), worker, HASTY)
    silent = crowd.keys[2].peer_id
    outcomes = [finished(outcome) for outcome in await crowd.step(crowd.roster, silent)]
    expected = tuple(peer for peer in crowd.roster.members if peer != silent)
    assert {outcome.roster.members for outcome in outcomes} == {expected}
    assert len({bytes(outcome.flat) for outcome in outcomes}) == 1
    for peer in expected:
        (void,) = crowd.voided[peer]
        assert (void.suspended, void.verdicts) == (((silent, "did not answer"),), ())


async def test_a_gradient_that_takes_too_long_is_cancelled(worker: ThreadPoolExecutor) -> None:
    crowd = Crowd(keys(4), worker, HASTY)
    slow, *rest = crowd.keys
    outcomes = await asyncio.gather(
        crowd.run(slow.peer_id, crowd.roster, never),
        *(crowd.run(key.peer_id, crowd.roster, ready(crowd.gradient(key.peer_id, crowd.roster))) for key in rest),
    )
    assert isinstance(outcomes[0], Stopped) and outcomes[0].kind is OutcomeKind.SUSPENDED
    assert all(slow.peer_id not in finished(outcome).roster.members for outcome in outcomes[1:])


async def test_alone_among_many_a_peer_stops_rather_than_goes_on(worker: ThreadPoolExecutor) -> None:
    crowd = Crowd(keys(4), worker, HASTY)
    others = [key.peer_id for key in crowd.keys[1:]]
    (outcome,) = await crowd.step(crowd.roster, *others)
    assert isinstance(outcome, Stopped) and outcome.kind is OutcomeKind.NO_MAJORITY


async def test_a_peer_that_lost_messages_finishes_by_a_certificate(worker: ThreadPoolExecutor) -> None:
    crowd = Crowd(keys(3), worker, dataclasses.replace(HASTY, verification=VerificationRules()))
    late = crowd.keys[0].peer_id
    signed: set[PeerId] = set()

    def lost(sender: PeerId, receiver: PeerId, data: bytes) -> bool:
        """Lose the digests that the others send to the late peer."""
        gone = receiver == late and Envelope.parse(data).kind is MessageKind.DIGEST
        if gone:
            signed.add(sender)
        return gone

    crowd.lost = lost
    outcomes = [finished(outcome) for outcome in await crowd.step(crowd.roster)]
    assert signed == {key.peer_id for key in crowd.keys[1:]}
    assert len({bytes(outcome.flat) for outcome in outcomes}) == 1
    assert {envelope.author for envelope in outcomes[0].certificate} == set(crowd.roster.members)
    assert not any(crowd.voided.values())


async def test_a_goodbye_spares_the_others_the_wait(worker: ThreadPoolExecutor) -> None:
    crowd = Crowd(keys(4), worker)
    first = [finished(outcome) for outcome in await crowd.step(crowd.roster)]
    gone = crowd.keys[1].peer_id
    crowd.drivers[gone].leave(LeaveReason.SHUTDOWN)
    begun = asyncio.get_running_loop().time()
    outcomes = [finished(outcome) for outcome in await crowd.step(first[0].roster, gone)]
    assert asyncio.get_running_loop().time() - begun < PATIENT.delay_bound_seconds
    assert all(gone not in outcome.roster.members for outcome in outcomes)
    assert [void.left for void in crowd.voided[crowd.keys[0].peer_id]] == [(gone,)]


async def test_a_cancelled_step_leaves_no_task_behind(worker: ThreadPoolExecutor) -> None:
    crowd = Crowd(keys(2), worker)
    before = asyncio.all_tasks()
    step = asyncio.ensure_future(crowd.run(crowd.keys[0].peer_id, crowd.roster, never))
    await asyncio.sleep(0)
    step.cancel()
    with pytest.raises(asyncio.CancelledError):
        await step
    await asyncio.gather(*(asyncio.all_tasks() - before), return_exceptions=True)
    assert asyncio.all_tasks() == before


async def test_hostile_bytes_do_not_reach_the_transport_as_errors(worker: ThreadPoolExecutor) -> None:
    crowd = Crowd(keys(2), worker)
    one, other = (key.peer_id for key in crowd.keys)
    step = asyncio.ensure_future(crowd.step(crowd.roster))
    await asyncio.sleep(0)
    for data in (b"", b"\xff" * 99, bytes(5000)):
        driver = crowd.drivers[one]
        driver.on_message(other, data)
        assert driver.accept_part(other, data, 1 << 40) is None
        driver.on_part(other, data, memoryview(data), digest(data))
        driver.on_part_failed(other, data)
    assert [finished(outcome).step for outcome in await step] == [0, 0]


async def test_the_author_is_charged_for_the_look_at_its_message(worker: ThreadPoolExecutor) -> None:
    crowd = Crowd(keys(3), worker)
    await crowd.step(crowd.roster)
    for one, charged in crowd.charged.items():
        assert charged.keys() == set(crowd.roster.members) - {one}
    driver, charged = crowd.drivers[crowd.keys[0].peer_id], crowd.charged[crowd.keys[0].peer_id]
    driver._tick()  # what came as the step ended
    before = charged.copy()
    driver._tick()
    assert charged == before, "nobody has said anything since"


async def test_what_is_to_be_sent_later_is_sent_later(worker: ThreadPoolExecutor) -> None:
    crowd = Crowd(keys(2), worker)
    one, other = (key.peer_id for key in crowd.keys)
    loop = asyncio.get_running_loop()
    sent: dict[bytes, float] = {}
    done = asyncio.Event()

    class Noting(LoopTransport):
        def send(self, peer: PeerId, data: bytes) -> None:
            assert peer == other
            sent[data] = loop.time()
            if len(sent) == 3:
                done.set()

    driver = crowd.drivers[one]
    driver._transport = Noting(one, crowd.drivers, crowd.lost)
    begun = loop.time()
    driver._perform([Send((other,), b"late", 0.15), Send((other,), b"soon", 0.05), Send((other,), b"now")])
    assert list(sent) == [b"now"]
    async with asyncio.timeout(60):
        await done.wait()
    assert list(sent) == [b"now", b"soon", b"late"]
    assert sent[b"soon"] - begun >= 0.05 and sent[b"late"] - begun >= 0.15
