from __future__ import annotations

import numpy as np
import pytest

from btard.tasks.base import DataRequest
from btard.tasks.data.spec import DataSpec
from btard.tasks.sentences.labelled import SentenceSet
from btard.tasks.sentences.task import SentencesSettings, SentencesTask


@pytest.fixture(scope="module")
def mnli(tmp_path_factory: pytest.TempPathFactory) -> SentencesTask:
    file = tmp_path_factory.mktemp("rows") / "mnli.csv"
    rows = [f"the {n} premise is long {'word ' * n},claim {n},{n % 3}" for n in range(90)]
    file.write_text("\n".join(["premise,hypothesis,label", *rows]))
    settings = SentencesSettings(data=SentenceSet.MNLI)
    return SentencesTask.load("tiny", settings, DataRequest(DataSpec.parse(str(file))))


def test_a_sample_is_a_start_and_two_texts_with_ends(mnli: SentencesTask) -> None:
    ids, mask = (mnli.evaluation_batch().tensors[name].numpy() for name in ("input_ids", "attention_mask"))
    padding, start, end = 0, 1, 2
    assert (ids[:, 0] == start).all() and ((ids == end).sum(1) == 2).all()
    assert (mask == (ids != padding)).all()
    last = mask.sum(1) - 1
    assert (ids[np.arange(len(ids)), last] == end).all()
    assert mask.sum(1).max() <= 64 and mask.sum(1).min() < 20  # long premises are cut, short ones padded


def test_a_set_decides_its_classes(mnli: SentencesTask) -> None:
    assert mnli.classes == 3 and mnli.config().num_labels == 3
    assert set(mnli.batch(bytes(32), 80).tensors["labels"].tolist()) == {0, 1, 2}


def test_held_out_samples_are_never_trained_on(mnli: SentencesTask) -> None:
    held_out = {tuple(row) for row in mnli.evaluation_batch().tensors["input_ids"].tolist()}
    drawn = {tuple(row) for row in mnli.batch(bytes(32), 2000).tensors["input_ids"].tolist()}
    assert len(held_out) == 5 and len(drawn) == 85 and not held_out & drawn
