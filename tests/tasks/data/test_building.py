"""What is half written has no name in the cache, and does not stay for ever."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from btard.tasks.data.building import building_folder


def test_a_folder_goes_unless_it_is_renamed(tmp_path: Path) -> None:
    with building_folder(tmp_path / "cache") as folder:
        (folder / "half").write_text("")
    with building_folder(tmp_path / "cache") as folder:
        (folder / "whole").write_text("")
        folder.rename(tmp_path / "cache" / "done")
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["done"]
    with pytest.raises(KeyboardInterrupt), building_folder(tmp_path / "cache"):
        raise KeyboardInterrupt
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["done"]


def test_only_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from btard.tasks.data.building import building_folder\n"
        "with building_folder(Path(sys.argv[1])) as folder:\n"
        "    print(folder, flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        theirs = Path(process.stdout.readline().strip())
        with building_folder(tmp_path) as mine:
            assert {mine, theirs} == set(tmp_path.iterdir())
        assert list(tmp_path.iterdir()) == [theirs]
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert theirs.exists()
    with building_folder(tmp_path) as mine:
        assert list(tmp_path.iterdir()) == [mine]
