"""A run in stages as its coordinator shows it to a visitor: a row a stage, and what it came to."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from typing import Any

from btard.errors import UserError
from btard.identity import Malformed, PeerId
from btard.printable import printable
from btard.swarm.door.asking import ask_directory
from btard.swarm.events.coordinator import awaited
from btard.swarm.manifest import RunManifest
from btard.swarm.questions import Question, Want
from btard.swarm.records.stages import MAX_STAGE_LINE, StageBanRow, StageLine, StageRow
from btard.transport.libp2p import FetchError, Libp2pTransport


@dataclass(frozen=True)
class StageSight:
    """A run in stages at one moment.

    Attributes:
        coordinator: the signer of the manifest; it is believed about seats, and its word is all that is shown.
        line: what it answers about the stages.
        waiting: peers at its door that have no seat, ascending.
    """

    coordinator: PeerId
    manifest: RunManifest
    line: StageLine
    waiting: tuple[PeerId, ...]


async def look_at_stages(
    transport: Libp2pTransport, coordinator: PeerId, manifest: RunManifest, timeout_seconds: float
) -> StageSight:
    """Ask the coordinator of a run in stages about them.

    Raises:
        UserError: it does not answer, or not about the stages of this run.
    """
    assert manifest.pipeline is not None
    question = Question(want=Want.STAGES).encode()
    try:
        answer, directory = await asyncio.gather(
            transport.fetch(coordinator, question, limit=MAX_STAGE_LINE, timeout_seconds=timeout_seconds),
            ask_directory(transport, coordinator),
        )
        line = StageLine.decode(answer)
    except FetchError:
        raise UserError(
            f"{manifest.experiment} is a run in stages, and its coordinator {coordinator}, which alone knows how they "
            "stand, does not answer; it may be away, or its address is lacking in --initial-peers"
        ) from None
    except Malformed as error:
        raise UserError(f"what the coordinator {coordinator} tells of its stages cannot be read: {error}") from None
    if len(line.stages) != manifest.pipeline.seats:
        raise UserError(
            f"the coordinator {coordinator} tells of {len(line.stages)} stages, but the run has "
            f"{manifest.pipeline.seats}"
        )
    seated = {row.peer for row in line.stages} | {ban.peer for ban in line.bans}
    present = () if directory is None else directory.waiting
    return StageSight(coordinator, manifest, line, tuple(sorted(p for p in present if str(p) not in seated)))


@dataclass(frozen=True)
class StageOverview:
    """A run in stages, for people and scripts.

    Attributes:
        step: the newest that the last stage, of several pipelines the last one's, has gone through; None before the
            first.
        loss: of that step; of several pipelines the mean over those whose last stages are in it.
        samples_per_second: of that step, 0 before the first.
        seating: number of the newest one, 0 before the first.
        awaited: how many peers the first seating waits for, in words; None after it.
        lost: seats that no peer is here for, so that training waits.
        waiting: peers that have no seat yet, ascending.
        stages: pipeline by pipeline, first stage first.
    """

    experiment: str
    run_id: str
    coordinator: str
    task: str
    step: int | None
    total_steps: int
    finished: bool
    loss: float | None
    samples_per_second: float
    seating: int
    awaited: str | None
    lost: tuple[int, ...]
    waiting: tuple[str, ...]
    stages: tuple[StageRow, ...]
    bans: tuple[StageBanRow, ...]

    def as_json(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        rows = {"stages": [row.model_dump() for row in self.stages], "bans": [ban.model_dump() for ban in self.bans]}
        return asdict(self) | rows


def stage_overview(sight: StageSight) -> StageOverview:
    """Return what is to be shown of a run in stages."""
    manifest, line, terms = sight.manifest, sight.line, sight.manifest.pipeline
    assert terms is not None
    last = line.stages[-1]
    rate = manifest.batch_size * terms.micro_batches * terms.replicas / last.seconds if last.seconds else 0.0
    told = [row.loss for row in line.stages if row.step == last.step and row.loss is not None]
    return StageOverview(
        experiment=printable(manifest.experiment),
        run_id=manifest.run_id,
        coordinator=str(sight.coordinator),
        task=printable(f"{manifest.chosen_task} {manifest.size}"),
        step=last.step,
        total_steps=manifest.total_steps,
        finished=line.over,
        loss=sum(told) / len(told) if told else None,
        samples_per_second=rate,
        seating=line.seating,
        awaited=None if line.seating else awaited(len(sight.waiting), terms.seats, "seating"),
        lost=tuple(line.lost),
        waiting=tuple(map(str, sight.waiting)),
        stages=tuple(line.stages),
        bans=tuple(line.bans),
    )
