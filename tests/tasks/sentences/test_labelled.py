"""Where classes of sentences come from, and what of a source is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from btard.errors import UserError
from btard.tasks.data.spec import DataSpec
from btard.tasks.sentences.labelled import SentenceSet, read_labelled


def written(path: Path, text: str) -> DataSpec:
    path.write_text(text)
    return DataSpec.parse(str(path))


def test_plays_are_comedies_and_tragedies() -> None:
    found = read_labelled(SentenceSet.PLAYS, DataSpec())
    assert len(found.texts) == len(found.labels) > 10_000
    assert 0.4 < found.labels.mean() < 0.6
    assert found.labels[next(n for n, (text,) in enumerate(found.texts) if "HAMLET" in text)] == 1


def test_pairs_come_with_those_classes_that_are_known(tmp_path: Path) -> None:
    rows = '"is it?",it is,0\nwhy,"no, never",1\nwhen,later,-1\n'
    found = read_labelled(SentenceSet.QNLI, written(tmp_path / "qnli.csv", f"question,sentence,label\n{rows}"))
    assert found.texts == [("is it?", "it is"), ("why", "no, never")]
    assert found.labels.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("which", "text", "sentence"),
    [
        ("sst2", "text,label\na,0\nb,1\n", "no column 'sentence', as sst2 has"),
        ("sst2", "sentence,label\na,0\nb,2\n", "row 2 .* a class below 2 in label"),
        ("cola", "sentence,label\na,x\n", "row 1 .* must have text in sentence"),
        ("cola", "sentence,label\na,1\nb,-1\n", "has 1 samples with a class; two are the least"),
    ],
)
def test_a_source_that_does_not_fit_is_refused(which: str, text: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=sentence):
        read_labelled(SentenceSet(which), written(tmp_path / "rows.csv", text))


def test_a_published_set_without_a_source_is_refused() -> None:
    with pytest.raises(UserError, match="hub:nyu-mll/glue:mrpc"):
        read_labelled(SentenceSet.MRPC, DataSpec())


def test_plays_are_in_no_other_source(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="data=plays is built in"):
        read_labelled(SentenceSet.PLAYS, written(tmp_path / "rows.csv", "sentence,label\na,0\n"))


def test_text_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no rows with labels"):
        read_labelled(SentenceSet.COLA, written(tmp_path / "some.txt", "words"))
