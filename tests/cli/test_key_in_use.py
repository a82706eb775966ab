"""A daemon whose key somebody else answers with says so in one sentence and ends before it tells anybody anything."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from btard.transport.libp2p import Libp2pNode
from tests.quick import quick

ROOT = Path(__file__).parents[2]
DEADLINE = 120.0
COORDINATOR = ("--experiment", "test", "--task", "digits", "--host", "127.0.0.1", "--dht-port", "0")


async def end_of(program: str, *words: str) -> tuple[int | None, str]:
    """Run a daemon to its end; returns exit code and what it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", program, *words),
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(DEADLINE):
            _, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, said.decode()


@pytest.mark.swarm
@pytest.mark.parametrize("program", quick(1, ["btard.cli.peer", "btard.cli.coordinator"]))
async def test_a_copied_key_ends_the_program_with_code_2(tmp_path: Path, program: str) -> None:
    member = await Libp2pNode.create(tmp_path / "member.key")
    first = await Libp2pNode.create(tmp_path / "identity.key", member.maddrs)
    directory = tmp_path / "copy"
    directory.mkdir()
    shutil.copy(tmp_path / "identity.key", directory)
    # A coordinator asks the members whose addresses a former start has written down.
    (directory / "addresses.json").write_text(json.dumps(list(member.maddrs)))
    words = COORDINATOR if program == "btard.cli.coordinator" else ("--initial-peers", member.maddrs[0])
    try:
        code, said = await end_of(program, *words, "--directory", str(directory))
        assert await member.control.connected(5) == {first.peer_id}
    finally:
        await first.close()
        await member.close()
    assert code == 2, said
    sentence = said.strip().splitlines()[-1]
    assert f"({first.peer_id}) is in use: another process" in sentence
    assert "Traceback" not in said
