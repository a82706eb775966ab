"""Search for the strategies that hurt a swarm most, or replay one that was found.

python -m btard.lab.adversary --seconds 3600 --seed 1
python -m btard.lab.adversary --replay runs/adversary-1.json
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from pydantic import TypeAdapter, ValidationError

from btard.errors import UserError
from btard.lab.adversary.play import Arena, play
from btard.lab.adversary.scores import HONEST_SCORE, MOST_SCORE, Aim
from btard.lab.adversary.search import Search, Winner, carriers
from btard.program import guarded

_FOUND_WRONG = 3

_SEEDS = 2**40
_PROGRAM = "python -m btard.lab.adversary"


@dataclass(frozen=True)
class Hunt:
    """What a search has found, as it is saved.

    Attributes:
        seed: of the search, `plays` how many swarms it ran, in `seconds`.
    """

    seed: int
    arena: Arena
    plays: int
    seconds: float
    winners: tuple[Winner, ...]


_HUNT: TypeAdapter[Hunt] = TypeAdapter(Hunt)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog=_PROGRAM, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arena = Arena()
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to search (default: 60)")
    parser.add_argument("--seed", type=int, default=None, help="of the search (default: from the clock)")
    parser.add_argument("--fresh", type=int, default=100, help="fresh swarms a winner must hold in (default: 100)")
    parser.add_argument("--aims", default=",".join(Aim), help="aims in turn, with commas between (default: all)")
    parser.add_argument("--peers", type=int, default=arena.peers, help=f"in a swarm (default: {arena.peers})")
    parser.add_argument("--byzantine", type=int, default=arena.byzantine, help=f"(default: {arena.byzantine})")
    parser.add_argument("--steps", type=int, default=arena.steps, help=f"of a swarm (default: {arena.steps})")
    parser.add_argument("--long-steps", type=int, default=arena.long_steps, help="of one that measures time")
    parser.add_argument("--validators", type=float, default=arena.validators, help="mean a step (default: 1)")
    parser.add_argument("--delay", default=arena.delay, help=f"of messages, in seconds (default: {arena.delay})")
    parser.add_argument("--workers", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--output", type=Path, default=None, help="file for what is found")
    parser.add_argument("--replay", type=Path, default=None, help="play what was found again, and compare")
    return parser


def _arena(arguments: argparse.Namespace) -> Arena:
    arena = Arena(
        peers=arguments.peers,
        byzantine=arguments.byzantine,
        steps=arguments.steps,
        long_steps=arguments.long_steps,
        validators=arguments.validators,
        delay=arguments.delay,
    )
    try:
        arena.settings(0)
    except ValidationError as error:
        report = error.errors(include_url=False)[0]
        name = "".join(f"--{place} is {getattr(arena, str(place))}, but " for place in report["loc"][:1])
        raise UserError(f"{name}{report['msg'].removeprefix('Value error, ')}") from None
    return arena


def _aims(text: str) -> tuple[Aim, ...]:
    try:
        return tuple(Aim(word) for word in text.split(","))
    except ValueError:
        raise UserError(f"--aims is {text}, but the aims are {', '.join(Aim)}") from None


def _hunt(arguments: argparse.Namespace) -> int:
    """Search, print and save what is best."""
    arena, aims = _arena(arguments), _aims(arguments.aims)
    for name in ("fresh", "workers"):
        if getattr(arguments, name) < 1:
            raise UserError(f"--{name} is {getattr(arguments, name)}, but must be at least 1")
    seed = int(time.time()) if arguments.seed is None else arguments.seed
    if not 0 <= seed < _SEEDS:
        raise UserError(f"--seed is {seed}, but must be at least 0 and below {_SEEDS}")
    output = arguments.output or Path("runs") / f"adversary-{seed}.json"
    with carriers(arguments.workers) as carry_out:
        search = Search(arena, seed, carry_out, lambda line: print(line, flush=True), aims)
        search.run(arguments.seconds)
        seconds = search.seconds()
        print(f"seed {seed}: {search.plays} plays in {seconds:.0f} s, {len(search.broken)} of them broken")
        winners = search.winners(arguments.fresh)
    for winner in winners:
        _tell(winner)
    _save(Hunt(seed, arena, search.plays, seconds, tuple(winners)), output)
    return _FOUND_WRONG if search.broken or any(winner.exceeds for winner in winners) else 0


def _tell(winner: Winner) -> None:
    fresh, aim = winner.fresh, winner.aim
    verdict = f"{'holds' if winner.holds else 'does not hold'} against the {HONEST_SCORE[aim]:g} of honest peers"
    if winner.exceeds:
        verdict += f", and exceeds the {MOST_SCORE[aim]:g} that is promised"
    print(f"{aim}: {fresh.mean:.4g} ± {fresh.error:.2g} in {fresh.plays} fresh swarms, {verdict}")
    print(f"    {winner.strategy}")
    print(
        f"    found after {winner.found_after} plays, {winner.found_seconds:.0f} s; seed {winner.seed}: {winner.scores}"
    )


def _save(hunt: Hunt, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_HUNT.dump_json(hunt, indent=1) + b"\n")
    except OSError as error:
        raise UserError(f"--output is {path}, which cannot be written: {error.strerror}") from None
    print(f"saved: {path}; replay it by: {_PROGRAM} --replay {path}")


def _replay(path: Path) -> int:
    """Play the winners of a file again, and say whether each achieves exactly the same."""
    try:
        hunt = _HUNT.validate_json(path.read_bytes())
    except OSError as error:
        raise UserError(f"--replay is {path}, which cannot be read: {error.strerror}") from None
    except ValidationError:
        raise UserError(f"--replay is {path}, which no search has written") from None
    same = True
    for winner in hunt.winners:
        scores = play(winner.strategy, hunt.arena.measuring(winner.aim), winner.seed)
        same = same and scores == winner.scores
        print(f"{winner.aim}: {winner.strategy}")
        print(f"    seed {winner.seed}, {'exactly as saved' if scores == winner.scores else 'not as saved'}: {scores}")
    return 0 if same else _FOUND_WRONG


def main(argv: Sequence[str] | None = None) -> int:
    """Search or replay as the words say, and return the exit code: 2 for bad input, 3 when a play breaks or
    differs, an honest peer loses its place, a step ends in two ways, or a run lasts longer than is promised."""

    def run() -> int:
        arguments = _parser().parse_args(argv)
        return _hunt(arguments) if arguments.replay is None else _replay(arguments.replay)

    return guarded(_PROGRAM, run)


if __name__ == "__main__":
    sys.exit(main())
