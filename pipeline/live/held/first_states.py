"""What each stage of a trained model begins with: made from its partition, kept in the run's directory, shown."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from pathlib import Path

from btard.durable import write_durably
from btard.errors import UserError
from btard.hashing import Payload
from btard.outline import Outline
from btard.pipeline.live.held.states import StoredState
from btard.pipeline.schedule.optimizer import OptimizerPlan
from btard.pipeline.seats.stage_state import KeptWorker
from btard.pipeline.stages.model_stage import Cut, ModelStage
from btard.pipeline.stages.partition import read_cut, read_stage, stage_file
from btard.pipeline.stages.split import Split
from btard.pipeline.stages.trained import write_config
from btard.swarm.pipeline_terms import MOST_CONFIG, FirstStage, ModelTerms
from btard.swarm.questions import Question, Want


def read_partition(folder: Path, split: Split) -> Cut:
    """Return the model in a folder of `btard pipeline partition`.

    Raises:
        UserError: there is none, it is damaged, or it is cut otherwise.
    """
    cut = read_cut(folder)
    if cut.split != split:
        raise UserError(f"--pipeline is {split}, but {folder} holds stages of {cut.split} blocks; give that")
    return cut


def make_first_states(folder: Path, cut: Cut, optimizer: OptimizerPlan, into: Path) -> ModelTerms:
    """Write the state of each stage before the first step, and return what the manifest says of the model.

    One stage is in memory at a time. What is there already is written again, which changes nothing.

    Raises:
        UserError: the partition is damaged, or nothing can be written.
    """
    config, stages = write_config(cut.config), []
    if len(config) > MOST_CONFIG:
        raise UserError(f"the configuration in {folder} has {len(config)} characters, but at most {MOST_CONFIG} travel")
    for stage in range(cut.stages):
        worker = KeptWorker(ModelStage(cut, stage, read_stage(folder, stage)), optimizer)
        data, path = worker.state_bytes(), into / stage_file(stage)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_durably(path, data)
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror}") from None
        stages.append(FirstStage(state=Outline.of((data,)).digest.hex(), pledge=worker.state().digest.hex()))
    return ModelTerms(config=config, stages=tuple(stages))


class FirstStates:
    """The states before the first step, as the coordinator shows them: read from files when they are asked for."""

    def __init__(self, directory: Path, digests: Sequence[bytes]) -> None:
        """Open the files of a directory.

        Raises:
            UserError: one is missing or damaged.
        """
        self._states = {
            digest: _opened(directory / stage_file(stage), stage, digest) for stage, digest in enumerate(digests)
        }

    def answer(self, question: Question) -> Payload | None:
        """Return the outline or a chunk of the state that a question names, None where it is none of these."""
        try:
            state = self._states.get(bytes.fromhex(question.known))
        except ValueError:
            return None
        if state is None:
            return None
        if question.want is Want.STATE:
            return state.outline.encode()
        return state.chunk(question.chunk) if question.want is Want.CHUNK else None


def _opened(path: Path, stage: int, digest: bytes) -> StoredState:
    try:
        with path.open("rb") as file:
            state = StoredState.of(stage, 0, memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}); give another --directory") from None
    if state.digest != digest:
        raise UserError(f"{path} is damaged; give another --directory")
    return state
