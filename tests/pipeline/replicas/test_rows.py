"""A row counts once most replicas of a stage have told it: one that lies about norms leads nobody astray."""

from __future__ import annotations

import pytest
import torch

from btard.hashing import digest
from btard.identity import IdentityKey, PeerId
from btard.pipeline.defence.behaviour import StageBehaviour, StagePlace
from btard.pipeline.machine.messages import SignedHeader, StageMessage, StageMessageKind
from btard.pipeline.machine.plan import TellReplicas
from btard.pipeline.replicas.machine import ReplicaMachine
from btard.pipeline.replicas.notes import RowNote, RowNoteKind
from btard.pipeline.replicas.rows import ROW_KINDS
from btard.pipeline.replicas.simulated.pipelines import Pipelines
from tests.pipeline.replicas.small import pipelines_of, states

NORMS = StageMessageKind.NORMS


class WrongNorms(StageBehaviour):
    """Tells its pipeline norms that are far too large, so that all others clip."""

    def norms(self, place: StagePlace, honest: torch.Tensor) -> torch.Tensor:
        return 1000 * honest


def test_false_norms_change_no_bit_of_anybody() -> None:
    honest, lied = pipelines_of(), pipelines_of()
    lied.machines[2][1].context.behaviour = WrongNorms()
    for step in range(2):
        honest.step(step)
        lied.step(step)
    assert states(lied) == states(honest)
    assert all(len(digests) == 1 for digests in states(honest))


@pytest.fixture
def pipelines() -> Pipelines:
    """Return pipelines whose stages wait for the averages of step 0."""
    made = pipelines_of()
    made._note(0)
    for stages in made.stages:
        for stage in stages:
            stage.begin(0)
    made.network.run(done=lambda: all(m.own_gradient is not None for machines in made.machines for m in machines))
    return made


def peer_of(pipelines: Pipelines, replica: int) -> PeerId:
    """Return the peer of stage 1."""
    return pipelines.machines[replica][1].context.key.peer_id


def row_of(pipelines: Pipelines, replica: int, teller: int, number: float, **changes) -> StageMessage:
    """Return norms that a stage tells, all of them the same number, with a change."""
    machine = pipelines.machines[replica][teller]
    told = {
        "key": machine.context.key,
        "run": machine.plan.run,
        "place": (0, 0),
        "kind": NORMS,
        "stage": teller,
        "payload": torch.full((machine.context.exchange.norm_numbers(teller),), number).numpy().tobytes(),
    }
    return StageMessage.sign(**told | changes)


def note_of(message: StageMessage) -> bytes:
    """Return how the stage of another pipeline tells a row's header."""
    row = message.header.kind if message.header.kind in ROW_KINDS else NORMS
    return RowNote(RowNoteKind.HEADER, row, message.header.step, message.signed.encode()).encode()


def shown(row: bytes) -> bytes:
    return RowNote(RowNoteKind.ROW, NORMS, 0, row).encode()


def heard(machine: ReplicaMachine, stage: int) -> bytes | None:
    machine._rows.lacking = []
    return machine._rows._of_most(NORMS, stage)


def test_a_row_counts_once_most_replicas_have_told_it(pipelines: Pipelines) -> None:
    machine = pipelines.machines[0][0]
    for replica in (1, 2):
        machine.hear(peer_of(pipelines, replica), note_of(row_of(pipelines, replica, 1, 1.0)))
        assert heard(machine, 1) is None and machine._rows.lacking == []
    # The same one again is no third vote, and another one takes none away.
    machine.hear(peer_of(pipelines, 2), note_of(row_of(pipelines, 2, 1, 2.0)))
    assert heard(machine, 1) is None and machine._rows.lacking == []
    last = row_of(pipelines, 3, 1, 1.0)
    machine.hear(peer_of(pipelines, 3), note_of(last))
    assert heard(machine, 1) is None and machine._rows.lacking == [(NORMS, 1, last.header.payload)]
    machine.hear(peer_of(pipelines, 3), shown(bytes(len(last.payload))))
    assert heard(machine, 1) is None
    machine.hear(peer_of(pipelines, 3), shown(last.payload))
    assert heard(machine, 1) == last.payload


@pytest.mark.parametrize(
    "changes",
    [
        {"key": IdentityKey.from_seed(bytes(32))},
        {"run": bytes(16)},
        {"place": (1, 0)},
        {"kind": StageMessageKind.ACTIVATION},
        {"stage": 2},
        {"stage": 77},
    ],
    ids=["signature", "run", "step", "kind", "stage", "no stage"],
)
def test_what_no_honest_stage_tells_is_dropped(pipelines: Pipelines, changes: dict[str, object]) -> None:
    machine = pipelines.machines[0][0]
    for replica in (1, 2, 3):
        note = note_of(row_of(pipelines, replica, 1, 1.0, **changes))
        assert machine.hear(peer_of(pipelines, replica), note) == []
    assert machine._rows._heard == {}


def test_bytes_of_strangers_are_dropped(pipelines: Pipelines) -> None:
    machine, data = pipelines.machines[0][0], note_of(row_of(pipelines, 1, 1, 1.0))
    sender = peer_of(pipelines, 1)
    for cut in range(len(data)):
        assert machine.hear(sender, data[:cut]) == []
    assert machine.hear(IdentityKey.from_seed(bytes(32)).peer_id, data) == []
    assert machine.hear(peer_of(pipelines, 2), data) == []
    assert machine._rows._heard == {}


def ask(
    machine: ReplicaMachine, sender: PeerId, kind: RowNoteKind, step: int = 0, wanted: bytes = b""
) -> list[RowNote]:
    """Return what a machine answers to a question about its norms."""
    effects = machine.hear(sender, RowNote(kind, NORMS, step, wanted).encode())
    told = [effect for effect in effects if isinstance(effect, TellReplicas)]
    assert all(effect.peers == (sender,) for effect in told)
    return [RowNote.decode(effect.data) for effect in told]


def test_a_row_of_this_step_and_the_last_is_shown_when_asked() -> None:
    pipelines = pipelines_of()
    pipelines.step(0)
    machine, sender = pipelines.machines[0][0], peer_of(pipelines, 1)
    assert ask(machine, sender, RowNoteKind.HEADER_ASKED, 1) == [], "it has told none yet"
    pipelines._note(1)
    machine.begin(0.0, 1)
    (told,) = ask(machine, sender, RowNoteKind.HEADER_ASKED)
    signed = SignedHeader.decode(told.content)
    signed.verify(machine.context.key.peer_id)
    assert (told.kind, signed.header.kind, signed.header.step) == (RowNoteKind.HEADER, NORMS, 0)
    assert ask(machine, sender, RowNoteKind.ROW_ASKED, 0, bytes(32)) == [], "it has told no such row"
    (row,) = ask(machine, sender, RowNoteKind.ROW_ASKED, 0, signed.header.payload)
    assert row.kind is RowNoteKind.ROW and digest(row.content) == signed.header.payload
    assert ask(machine, IdentityKey.from_seed(bytes(32)).peer_id, RowNoteKind.HEADER_ASKED) == []


def test_one_stage_is_answered_a_bounded_number_of_times() -> None:
    pipelines = pipelines_of()
    pipelines.step(0)
    machine = pipelines.machines[0][0]
    answers = [ask(machine, peer_of(pipelines, 1), RowNoteKind.HEADER_ASKED) for _ in range(100)]
    assert 2 < sum(map(bool, answers)) < 50
    assert ask(machine, peer_of(pipelines, 2), RowNoteKind.HEADER_ASKED), "another one is answered as well"


def test_headers_of_faster_pipelines_wait_for_the_step(pipelines: Pipelines) -> None:
    machine, sender = pipelines.machines[0][0], peer_of(pipelines, 1)
    pipelines._note(1)
    early = row_of(pipelines, 1, 1, 1.0, place=(1, 0))
    machine.hear(sender, note_of(early))
    machine.hear(sender, note_of(row_of(pipelines, 1, 1, 2.0, place=(1, 0))))
    machine.hear(sender, note_of(row_of(pipelines, 1, 1, 1.0, place=(2, 0))))
    assert machine._rows._heard == {}
    machine.begin(0.0, 1)
    assert machine._rows._heard == {(NORMS, 1, 1): early.header.payload}
