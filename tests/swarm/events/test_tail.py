"""Files of lines are followed while they grow, however long they are."""

from __future__ import annotations

import json
from pathlib import Path

from btard.swarm.events.tail import Tail, json_object, last_lines


def test_a_tail_returns_each_whole_line_once(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    tail = Tail(path, json_object)
    assert tail.read() == []
    with path.open("a", buffering=1) as file:
        file.write('{"event": "one"}\n{"event": "tw')
        file.flush()
        assert tail.read() == [{"event": "one"}]
        file.write('o"}\nno json\n[1]\n')
        file.flush()
        assert tail.read() == [{"event": "two"}]
        assert tail.read() == []


def test_a_long_file_takes_several_looks(tmp_path: Path) -> None:
    path = tmp_path / "steps.jsonl"
    lines = [{"step": number, "fill": "x" * 40} for number in range(50)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert list(Tail(path, json_object, 128).read_all()) == lines
    tail = Tail(path, json_object, 128)
    assert tail.read() == lines[:2] and tail.behind


def test_a_line_longer_than_a_look_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "steps.jsonl"
    path.write_text('{"a": 1}\n' + '{"b": "' + "x" * 500 + '"}\n{"c": 3}\n')
    assert list(Tail(path, json_object, 64).read_all()) == [{"a": 1}, {"c": 3}]


def test_the_last_lines_begin_with_a_whole_one(tmp_path: Path) -> None:
    path = tmp_path / "steps.jsonl"
    assert list(last_lines(path, json_object)) == []
    path.write_text("".join(f'{{"step":{number}}}\n' for number in range(10)) + '{"st')
    assert list(last_lines(path, json_object)) == [{"step": number} for number in range(10)]
    assert list(last_lines(path, json_object, 30)) == [{"step": 8}, {"step": 9}]
