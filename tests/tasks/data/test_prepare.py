import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import datasets
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from btard.errors import UserError
from btard.tasks.albert import AlbertTask
from btard.tasks.base import DataRequest
from btard.tasks.data import prepare as preparation
from btard.tasks.data.prepare import TokenisedRequest, pair_boundaries, prepare
from btard.tasks.data.progress import PreparationProgress, PreparationStage
from btard.tasks.data.spec import DataSpec, SourceKind
from btard.tasks.data.tokenised import Layout
from btard.tasks.data.vocabulary import CharacterEncoder, TokenizerKind, TokenizerRequest
from btard.tasks.settings import TaskSettings


def request(
    kind: TokenizerKind = TokenizerKind.CHARACTERS, layout: Layout = Layout.STREAM, sample_tokens: int = 16
) -> TokenisedRequest:
    tokenizer = TokenizerRequest(kind=kind, vocabulary_size=300, specials=("<unk>", "<end>"), separator="<end>")
    return TokenisedRequest(tokenizer=tokenizer, layout=layout, sample_tokens=sample_tokens)


def write(folder: Path, *documents: str) -> DataSpec:
    folder.mkdir(exist_ok=True)
    for number, document in enumerate(documents):
        (folder / f"{number}.txt").write_text(document)
    return DataSpec(kind=SourceKind.TEXT, location=str(folder))


def test_the_token_file_is_the_corpus(tmp_path: Path) -> None:
    corpus = prepare(write(tmp_path / "in", "abcd" * 10, "xyz" * 10), request(), tmp_path / "cache")
    assert corpus.tokens.shape == (4, 16)
    assert corpus.tokens.dtype == np.uint16
    text = corpus.tokenizer.decode(corpus.tokens.reshape(-1).tolist(), skip_special_tokens=False)
    assert text == ("abcd" * 10 + "<end>" + "xyz" * 10)[: 64 + len("<end>") - 1]
    assert (corpus.meta.samples, corpus.meta.held_out, corpus.training_samples) == (4, 1, 3)


def test_a_twentieth_is_held_out(corpus_spec: DataSpec, cache_dir: Path) -> None:
    meta = prepare(corpus_spec, request(), cache_dir).meta
    assert meta.held_out == meta.samples // 20 > 100


def test_it_is_written_once_and_reported(tmp_path: Path, corpus_spec: DataSpec) -> None:
    reports: list[PreparationProgress] = []
    first = prepare(corpus_spec, request(), tmp_path, reports.append)
    for stage in PreparationStage:
        done = [report.done for report in reports if report.stage is stage]
        assert done == sorted(done)
        assert (done[0], done[-1]) == (0, Path(corpus_spec.location).stat().st_size)
    reports.clear()
    assert prepare(corpus_spec, request(), tmp_path, reports.append).folder == first.folder
    assert reports == []
    assert [folder.name for folder in tmp_path.iterdir()] == [first.folder.name]


def test_the_fingerprint_is_the_contents(tmp_path: Path) -> None:
    text = "the same words again. " * 50
    base = prepare(write(tmp_path / "a", text), request(), tmp_path / "c").meta.fingerprint
    moved = prepare(write(tmp_path / "b", text), request(), tmp_path / "elsewhere").meta.fingerprint
    assert moved == base
    others = [
        prepare(write(tmp_path / "d", text + "x"), request(), tmp_path / "c"),
        prepare(write(tmp_path / "e", text, text), request(), tmp_path / "c"),
        prepare(write(tmp_path / "a"), request(sample_tokens=17), tmp_path / "c"),
        prepare(write(tmp_path / "a"), request(layout=Layout.PAIRS), tmp_path / "c"),
        prepare(write(tmp_path / "a"), request(TokenizerKind.BYTE_PAIRS), tmp_path / "c"),
    ]
    fingerprints = {base, *(corpus.meta.fingerprint for corpus in others)}
    assert len(fingerprints) == 6


def test_a_changed_corpus_is_prepared_anew(tmp_path: Path) -> None:
    before = prepare(write(tmp_path / "in", "old words. " * 20), request(), tmp_path / "cache")
    after = prepare(write(tmp_path / "in", "new words. " * 20), request(), tmp_path / "cache")
    assert after.meta.fingerprint != before.meta.fingerprint


def test_the_same_corpus_elsewhere_is_not_prepared_again(tmp_path: Path) -> None:
    texts = ("old words. " * 20, "more of them. " * 20)
    first = prepare(write(tmp_path / "in", *texts), request(), tmp_path / "cache")
    again = prepare(write(tmp_path / "elsewhere", *texts), request(), tmp_path / "cache")
    assert again.folder == first.folder
    other = prepare(write(tmp_path / "other", *reversed(texts)), request(), tmp_path / "cache")
    assert other.folder != first.folder


def test_a_corpus_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    spec = write(tmp_path / "in", "old words. " * 20)

    def change(progress: PreparationProgress) -> None:
        if progress.stage is PreparationStage.TOKENS and progress.done == 0:
            write(tmp_path / "in", "new words. " * 20)

    with pytest.raises(UserError, match="in was changed while it was read"):
        prepare(spec, request(), tmp_path / "cache", change)
    assert list((tmp_path / "cache").iterdir()) == []


def test_few_characters_are_encoded_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the documents are; so memory does not grow with them."""
    most = []
    encode = CharacterEncoder.encode

    def watched(self: CharacterEncoder, texts: Sequence[str]) -> list[npt.NDArray[np.int64]]:
        most.append(sum(map(len, texts)))
        return encode(self, texts)

    monkeypatch.setattr(CharacterEncoder, "encode", watched)
    prepare(write(tmp_path / "in", "words " * 1_000_000), request(), tmp_path / "cache")
    assert sum(most) == 6_000_000
    assert max(most) < 3_000_000


@pytest.mark.parametrize(
    ("documents", "says"), [(("",), "the corpus is empty"), (("tiny",), "has only 5 tokens, but two samples of 16")]
)
def test_too_little_text_is_refused_and_leaves_nothing(tmp_path: Path, documents: tuple[str], says: str) -> None:
    with pytest.raises(UserError, match=says):
        prepare(write(tmp_path / "in", *documents), request(), tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_cache_that_cannot_be_written_is_one_sentence(tmp_path: Path, corpus_spec: DataSpec) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"^the corpus cannot be prepared: .*file: .*--cache-dir writable"):
        prepare(corpus_spec, request(), tmp_path / "file")


def test_an_interrupted_preparation_leaves_nothing(tmp_path: Path, corpus_spec: DataSpec) -> None:
    def interrupt(progress: PreparationProgress) -> None:
        if progress.stage is PreparationStage.TOKENS:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(corpus_spec, request(), tmp_path, interrupt)
    assert list(tmp_path.iterdir()) == []


def test_the_slower_of_two_takes_the_first_one_s(
    tmp_path: Path, corpus_spec: DataSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder = preparation._write
    raced = []

    def write_while_another_finishes(folder: Path, *rest: object) -> None:
        write_folder(folder, *rest)  # type: ignore[arg-type]
        if not raced:
            raced.append(folder)
            raced.append(prepare(corpus_spec, request(), tmp_path).folder)

    monkeypatch.setattr(preparation, "_write", write_while_another_finishes)
    slower = prepare(corpus_spec, request(), tmp_path)
    assert slower.folder == raced[1]
    assert list(tmp_path.iterdir()) == [slower.folder]


def test_processes_at_once_agree(tmp_path: Path, corpus_spec: DataSpec) -> None:
    program = (
        "import sys; from pathlib import Path; from btard.tasks.data.prepare import *\n"
        "from btard.tasks.data.spec import DataSpec\n"
        "spec = DataSpec.model_validate_json(sys.argv[1]); wanted = TokenisedRequest.model_validate_json(sys.argv[2])\n"
        "print(prepare(spec, wanted, Path(sys.argv[3])).meta.fingerprint)"
    )
    wanted = request(TokenizerKind.UNCASED_WORD_PIECES, Layout.PAIRS)
    command = [sys.executable, "-c", program, corpus_spec.model_dump_json(), wanted.model_dump_json(), str(tmp_path)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    fingerprints = {process.communicate(timeout=60)[0] for process in running}
    assert [process.returncode for process in running] == [0, 0, 0]
    assert fingerprints == {prepare(corpus_spec, wanted, tmp_path).meta.fingerprint + "\n"}
    assert len(list(tmp_path.iterdir())) == 1


def test_a_given_tokenizer_is_used(tmp_path: Path, corpus_spec: DataSpec) -> None:
    trained = prepare(corpus_spec, request(TokenizerKind.BYTE_PAIRS), tmp_path / "one")
    given_spec = corpus_spec.model_copy(update={"tokenizer": str(trained.folder)})
    reports: list[PreparationProgress] = []
    given_one = prepare(given_spec, request(TokenizerKind.BYTE_PAIRS), tmp_path / "two", reports.append)
    assert given_one.meta.fingerprint == trained.meta.fingerprint
    assert {report.stage for report in reports} == {PreparationStage.TOKENS}


def test_rows_of_tokens_lose_their_marks_and_keep_their_segments(tmp_path: Path, albert: AlbertTask) -> None:
    rows = {
        "input_ids": [[2, *range(10, 40), 3, *range(50, 81), 3]] * 3,
        "token_type_ids": [[0] * 32 + [1] * 32] * 3,
    }
    datasets.Dataset.from_dict(rows).save_to_disk(str(tmp_path / "rows"))
    spec = DataSpec.parse(str(tmp_path / "rows"), tokenizer=str(albert.corpus.folder))
    task = AlbertTask.load("tiny", TaskSettings(), DataRequest(spec, tmp_path / "cache"))
    assert task.corpus.tokens.tolist() == [[*range(10, 40), *range(50, 81)]] * 3
    assert task.corpus.boundaries is not None
    assert task.corpus.boundaries.tolist() == [30] * 3
    with pytest.raises(UserError, match="name the tokenizer that it was tokenised with"):
        AlbertTask.load("tiny", TaskSettings(), DataRequest(DataSpec.parse(str(tmp_path / "rows")), tmp_path / "cache"))


def test_rows_beyond_the_tokenizer_are_refused(tmp_path: Path, albert: AlbertTask) -> None:
    datasets.Dataset.from_dict({"input_ids": [[10, 60_000]]}).save_to_disk(str(tmp_path / "rows"))
    spec = DataSpec.parse(str(tmp_path / "rows"), tokenizer=str(albert.corpus.folder))
    with pytest.raises(UserError, match="row 1 of the data set has tokens outside the tokenizer's"):
        AlbertTask.load("tiny", TaskSettings(), DataRequest(spec, tmp_path / "cache"))


@given(st.lists(st.integers(0, 400), unique=True).map(sorted), st.integers(2, 40))
def test_boundaries_are_sentence_starts_near_the_middle(starts: list[int], length: int) -> None:
    boundaries = pair_boundaries(np.array(starts, dtype=np.int64), samples=5, sample_tokens=length)
    for sample, boundary in enumerate(boundaries.tolist()):
        assert 1 <= boundary < length
        middle = sample * length + length // 2
        near = [abs(start - middle) for start in starts if abs(start - middle) <= length // 4]
        assert abs(sample * length + boundary - middle) == min(near, default=0)
