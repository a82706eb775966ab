"""`btard data prepare`: tokenises a corpus before a run, so that no peer has to wait for it."""

import argparse
from pathlib import Path

from btard.tasks.data.spec import DataSpec
from btard.tasks.registry import TASK_SIZES, check_task

BUILTIN = "builtin"


def main(argv: list[str]) -> int:
    """Runs `btard data` with these arguments (without the command's own name); returns the exit code.

    Raises:
        UserError: the task, corpus or tokenizer is not to be had, or the cached form is damaged.
    """
    arguments = _parser().parse_args(argv)
    check_task(arguments.task, arguments.size)
    return _prepare(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="btard data", description="Corpora and their tokenised form.")
    commands = parser.add_subparsers(dest="command", required=True)
    prepare = commands.add_parser(
        "prepare",
        help="tokenise a corpus into the cache",
        description="Tokenises a corpus into the cache, unless it is there, and prints its fingerprint and folder. "
        "Peers of a run must have the same fingerprint.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    sizes = "; ".join(f"{name}: {', '.join(sizes)}" for name, sizes in TASK_SIZES.items())
    prepare.add_argument("--task", default="gpt", help=f"one of {', '.join(TASK_SIZES)}")
    prepare.add_argument("--size", default="tiny", help=f"the task's size ({sizes})")
    prepare.add_argument(
        "--data",
        default=BUILTIN,
        metavar="SOURCE",
        help="builtin, a text file, a folder of .txt, or of parquet, JSON or CSV files, a data set saved to disk, or a "
        "Hub data set as OWNER/NAME:CONFIGURATION or hub:OWNER/NAME, with @COMMIT for another commit than the newest",
    )
    prepare.add_argument(
        "--tokenizer", metavar="PATH", help="a tokenizer.json; one is trained from the corpus if absent"
    )
    prepare.add_argument(
        "--cache-dir", type=Path, default=Path("~/.cache/btard/data"), metavar="DIR", help="parent of tokenised corpora"
    )
    return parser


def _prepare(arguments: argparse.Namespace) -> int:
    from rich import progress as bars
    from rich.console import Console

    from btard.tasks.data.hub import HubAccess
    from btard.tasks.data.prepare import Progress, Stage
    from btard.tasks.registry import load_task
    from btard.tasks.text import TextTask

    console = Console(stderr=True)
    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.TaskProgressColumn(),
        bars.TimeElapsedColumn(),
    )
    with bars.Progress(*columns, console=console) as bar:
        shown: dict[Stage, bars.TaskID] = {}

        def report(progress: Progress) -> None:
            if progress.stage not in shown:
                shown[progress.stage] = bar.add_task(progress.stage.value)
            bar.update(shown[progress.stage], completed=progress.done, total=progress.total)

        spec = DataSpec.parse(arguments.data, arguments.tokenizer)
        task = load_task(
            arguments.task, arguments.size, spec, arguments.cache_dir, report, HubAccess(None, signed_in=True)
        )

    print(f"fingerprint {task.fingerprint}")
    if isinstance(task, TextTask):
        meta = task.corpus.meta
        print(f"samples     {meta.samples} of {meta.sample_tokens} tokens, {meta.held_out} held out")
        print(f"vocabulary  {meta.vocabulary_size}")
        print(f"folder      {task.corpus.folder}")
    return 0
