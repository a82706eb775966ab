"""The file of a closed group: what it may hold, and one sentence for everything else."""

from __future__ import annotations

from pathlib import Path

import pytest

from btard.errors import UserError
from btard.identity import PeerId
from btard.swarm.members import MAX_LISTED, read_members
from tests.peer.helpers import KEYS

A, B, C = (str(key.peer_id) for key in KEYS[:3])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "members"


def test_keys_are_read_between_comments(file: Path) -> None:
    file.write_text(f"# our group\n\n  {B}  # the second\r\n{A}\n{C}")
    assert read_members(file, 3) == tuple(sorted((A, B, C)))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "lists 0 keys, but the first roster needs 2"),
        (f"{A}\n", "lists 1 key, but the first roster needs 2; list more, or give a smaller --peers"),
        (f"{A}\n{B}\n# so far\n{A}", f"line 4: {A} is in line 1 already"),
        (f"{A}\n{B} {C}", "line 2: .* is no peer id"),
        (f"{A}\n{B[:-1]}", "line 2: .* is no peer id; .* 12D3Koo"),
        (f"{A}\nQmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N", "line 2: .* is no peer id"),
        (f"{A};{B}", "line 1"),
        ("#" * (MAX_LISTED * 512 + 1), "has more than"),
    ],
)
def test_what_is_no_list_is_one_sentence(file: Path, text: str, sentence: str) -> None:
    file.write_text(text)
    with pytest.raises(UserError, match=f"--members {file}.*{sentence}") as caught:
        read_members(file, 2)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_are_one_sentence(file: Path) -> None:
    file.write_bytes(A.encode("utf-16"))
    with pytest.raises(UserError, match="no UTF-8 text"):
        read_members(file, 1)


def test_a_list_may_have_so_many_keys_and_no_more(file: Path) -> None:
    keys = [str(PeerId.from_public_key(number.to_bytes(32, "big"))) for number in range(MAX_LISTED + 1)]
    file.write_text("\n".join(keys[:-1]))
    assert len(read_members(file, 1)) == MAX_LISTED
    file.write_text("\n".join(keys))
    with pytest.raises(UserError, match=f"lists {MAX_LISTED + 1} keys, but a run takes at most {MAX_LISTED}"):
        read_members(file, 1)
