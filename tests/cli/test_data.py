import subprocess
import sys
from pathlib import Path

import pytest

from btard.cli.data import main
from btard.errors import UserError


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    file = tmp_path / "words.txt"
    file.write_text("Shall I compare thee to a summer's day? Thou art more lovely.\n" * 40)
    return file


def test_it_prints_where_the_data_is_and_its_fingerprint(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "prepare",
        "--task",
        "gpt",
        "--size",
        "tiny",
        "--data",
        str(corpus),
        "--cache-dir",
        str(tmp_path / "c"),
    ]
    assert main(arguments) == 0
    first = capsys.readouterr()
    printed = dict(line.split(maxsplit=1) for line in first.out.splitlines())
    assert len(bytes.fromhex(printed["fingerprint"])) == 32
    assert (Path(printed["folder"]) / "tokens.npy").is_file()
    assert Path(printed["folder"]).parent == tmp_path / "c"
    assert printed["samples"] == "38 of 64 tokens, 1 held out"
    assert "tokenising" in first.err
    assert "100%" in first.err

    assert main(arguments) == 0
    second = capsys.readouterr()
    assert second.out == first.out
    assert "tokenising" not in second.err


def test_digits_need_no_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", "--task", "digits"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["fingerprint"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--task", "chess"], "no task 'chess'"),
        (["--size", "huge"], "no size 'huge'; it has tiny, small"),
        (["--task", "gpt:width=9"], "the task gpt has no setting 'width'; it has none"),
        (["--task", "gpt:width"], "must be NAME or NAME:KEY=VALUE,KEY=VALUE"),
        (["--data", "nowhere.txt"], "neither 'builtin', an existing file"),
        (["--task", "digits", "--data", "hub:owner/mnist"], "only its built-in data"),
        (["--tokenizer", "/no/such/file"], "there is no tokenizer at /no/such/file"),
    ],
)
def test_mistakes_are_one_sentence(arguments: list[str], says: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=says) as refusal:
        main(["prepare", "--cache-dir", str(tmp_path), *arguments])
    assert "\n" not in str(refusal.value)


def test_tasks_are_listed_with_their_sizes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tasks"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith(" ")]
    assert lines == [
        "albert: tiny, large",
        "digits: tiny",
        "gpt: tiny, small",
        "images: tiny",
        "regression: tiny",
        "sentences: tiny, small",
    ]
    with pytest.raises(UserError, match="no task 'chess'"):
        main(["tasks", "gpt", "chess"])


def test_help_shows_tasks_and_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["prepare", "--help"])
    assert left.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for part in (
        "one of albert, digits, gpt, images, regression, sentences",
        "btard data tasks",
        "default: tiny",
        "default: ~/.cache/btard/data",
        "OWNER/NAME:CONFIGURATION",
    ):
        assert part in text


def test_help_and_mistakes_do_not_wait_for_torch() -> None:
    program = (
        "import sys; from btard.errors import UserError; from btard.cli.data import main\n"
        "try: main(['prepare', '--task', 'chess'])\n"
        "except UserError: pass\n"
        "try: main(['prepare', '--help'])\n"
        "except SystemExit: print({'torch', 'transformers', 'datasets'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "set()"
