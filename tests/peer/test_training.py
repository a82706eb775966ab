"""The training loop notes a step before anything of it is signed, and may have been a member before it was started."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock, MagicMock

import pytest

from btard.peer.keeping.progress import PROGRESS_FILE, Progress
from btard.peer.training import TrainingLoop
from tests.btard.round.swarm import keys
from tests.peer.helpers import ROSTER, RUN

STATE = bytes(32)


class Begins(Exception):
    """The driver has been asked to run a step."""


def loop_of(folder: Path, *, key_is_new: bool = False, run_has_begun: bool = True) -> TrainingLoop:
    """Return a loop of whose parts only the progress is real."""
    parts: dict[str, Any] = {one.name: MagicMock() for one in dataclasses.fields(TrainingLoop) if one.init}
    parts |= {name: AsyncMock() for name in ("descent", "checkpoints")}
    parts["driver"].run_step = AsyncMock(side_effect=Begins)
    parts["rosters"].look = AsyncMock(return_value=SimpleNamespace() if run_has_begun else None)
    parts["rosters"].wait_for_first = AsyncMock(return_value=(ROSTER, False))
    parts["descent"].newest.return_value = ROSTER
    parts["neighbours"].locate = AsyncMock()
    parts["entrance"] = SimpleNamespace(begin=AsyncMock(return_value=(ROSTER, STATE)), incarnation=0)
    parts["manifest"] = MagicMock(total_steps=ROSTER.step + 1)
    parts["manifest"].wants_snapshot.return_value = False
    progress = Progress(folder / PROGRESS_FILE, RUN.hex())
    own = {"key": keys(1)[0], "key_is_new": key_is_new, "named": frozenset(), "progress": progress, "_publishing": None}
    return TrainingLoop(**(parts | own))


async def run(loop: TrainingLoop, monkeypatch: pytest.MonkeyPatch) -> AsyncMock:
    """Run until the driver is asked for a step; return what compares this machine's numbers with those of others."""
    compare = AsyncMock()
    monkeypatch.setattr("btard.peer.training.compare_numerics", compare)
    monkeypatch.setattr(loop, "_joined", lambda roster: None)
    with pytest.raises(Begins):
        await loop.run()
    return compare


async def test_a_step_is_on_the_disk_before_it_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = loop_of(tmp_path)
    await run(loop, monkeypatch)
    assert Progress(tmp_path / PROGRESS_FILE, RUN.hex()).step == ROSTER.step


@pytest.mark.parametrize("key_is_new, run_has_begun", [(False, True), (True, True), (False, False)])
async def test_an_old_key_without_a_folder_may_have_been_a_member(
    key_is_new: bool, run_has_begun: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = loop_of(tmp_path, key_is_new=key_is_new, run_has_begun=run_has_begun)
    entered: list[bool] = []
    begin = loop.entrance.begin

    async def enter(roster: Any) -> Any:
        entered.append(loop.progress.restarted)
        return await begin(roster)

    loop.entrance.begin = enter  # type: ignore[method-assign]
    compare = await run(loop, monkeypatch)
    assert entered == [run_has_begun and not key_is_new]
    assert compare.await_count == 1, "a newcomer's numbers are compared, whatever its key"
