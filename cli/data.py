"""`btard data`: the installed tasks and their settings; and corpora tokenised before a run, so that no peer waits."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from btard.configuration.named import written
from btard.configuration.options import settings_of
from btard.swarm.local_facts import check_corpus
from btard.tasks.data.spec import DataSpec
from btard.tasks.registry import TASKS, check_task, find_task, load_task

BUILTIN = "builtin"


def main(argv: list[str]) -> int:
    """Runs `btard data` with these arguments (without the command's own name); returns the exit code.

    Raises:
        UserError: the task, corpus or tokenizer is not to be had, or the cached form is damaged.
    """
    arguments = _parser().parse_args(argv)
    if arguments.command == "tasks":
        return _list(arguments.names or TASKS.names())
    check_task(arguments.task, arguments.size)
    check_corpus(arguments.data, arguments.tokenizer, arguments.cache_dir)
    return _prepare(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="btard data", description="Corpora and their tokenised form.")
    commands = parser.add_subparsers(dest="command", required=True)
    tasks = commands.add_parser(
        "tasks",
        help="list the installed tasks",
        description="Lists the installed tasks, each with its sizes and with the settings of its own, which are "
        "written behind its name as NAME:KEY=VALUE,KEY=VALUE.",
    )
    tasks.add_argument("names", nargs="*", metavar="TASK", help=f"{', '.join(TASKS.names())}; all if none is given")
    prepare = commands.add_parser(
        "prepare",
        help="tokenise a corpus into the cache",
        description="Tokenises a corpus into the cache, unless it is there, and prints its fingerprint and folder. "
        "Peers of a run must have the same fingerprint.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    prepare.add_argument(
        "--task",
        default="gpt",
        help=f"one of {', '.join(TASKS.names())}; one with settings of its own as NAME:KEY=VALUE,KEY=VALUE",
    )
    prepare.add_argument("--size", default="tiny", help="the task's size; btard data tasks lists them")
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


def _list(names: Sequence[str]) -> int:
    for task in [find_task(name) for name in names]:
        print(f"{task.name}: {', '.join(task.sizes)}")
        defaults = task.Settings().values
        for name, setting in settings_of(task.Settings).items():
            expected = setting.expectation(with_bounds=True)
            print(f"  {written(name, defaults[name])}: {setting.option.meaning}; {expected}")
    return 0


def _prepare(arguments: argparse.Namespace) -> int:
    from rich import progress as bars
    from rich.console import Console

    from btard.tasks.data.hub import HubAccess
    from btard.tasks.data.progress import PreparationProgress, PreparationStage
    from btard.tasks.text import TextTask

    console = Console(stderr=True)
    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.TaskProgressColumn(),
        bars.TimeElapsedColumn(),
    )
    with bars.Progress(*columns, console=console) as bar:
        shown: dict[PreparationStage, bars.TaskID] = {}

        def report(progress: PreparationProgress) -> None:
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
